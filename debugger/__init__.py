"""One run of a Python function, predicted or actual, and how two runs differ."""
