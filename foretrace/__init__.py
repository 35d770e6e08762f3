"""The `foretrace` command and the bundled nano model."""

__version__ = "0.1.0"
