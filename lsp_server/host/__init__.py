"""The model host: the one process per machine and GGUF that has the model loaded, and how servers talk to it."""
