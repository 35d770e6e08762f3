"""`foretrace lsp` with a stand-in for the model: python -m tests.lsp_server.fake_server MODEL"""

from __future__ import annotations

import sys
from pathlib import Path

from foretrace.models import ModelFile
from lsp_server.cli import create_server, serve

HOST = [sys.executable, "-m", "tests.lsp_server.fake_host"]

if __name__ == "__main__":
    default = Path(sys.argv[1])
    server = create_server(lambda wanted: ModelFile("stand-in", Path(wanted or default)), "0", HOST)
    sys.exit(serve(server))
