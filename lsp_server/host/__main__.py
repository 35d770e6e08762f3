"""`python -m lsp_server.host --model GGUF|ADDRESS`: how servers start a model host."""

from __future__ import annotations

import argparse
import sys

from lsp_server.host.engine import load_engine
from lsp_server.host.place import place_of
from lsp_server.host.server import IDLE_SECONDS, main
from quant.errors import ModelError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--context", type=int)
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS)
    options = parser.parse_args()
    try:
        place = place_of(options.model, options.context)
        code = main(
            options.model, place, lambda: load_engine(options.model, options.context), idle_seconds=options.idle
        )
    except ModelError as error:
        print(error, file=sys.stderr)
        code = 3
    sys.exit(code)
