"""How many calls of the model and how much time predictions take; see `__main__.py`."""
