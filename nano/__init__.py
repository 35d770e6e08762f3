"""How nano is made: a tiny CWM from SmolLM2-135M that has learned to trace Python. Not shipped in the wheel."""
