"""How fast a CWM runs on a GPU, and how close that comes to what the GPU could do: `python -m bench.gpu`."""
