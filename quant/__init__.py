"""GGUF builds of CWM and the llama.cpp runtime that runs them. Knows nothing of debugging."""
