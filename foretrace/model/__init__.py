"""The work behind `foretrace model ...`: each file does one command or two and prints what it did."""
