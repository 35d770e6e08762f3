"""Actual runs: a debuggee under debugpy, recorded frame by frame."""
