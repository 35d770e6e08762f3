"""`python -m foretrace` is `foretrace`."""

from foretrace.cli import main

if __name__ == "__main__":
    main()
