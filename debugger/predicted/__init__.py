"""Predicted runs: the model's format, the prompt, and decoding under the constraints that a run obeys."""
