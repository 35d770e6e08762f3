"""Addresses of models elsewhere; apart from what asks them, since every start of the command looks at one."""

from __future__ import annotations

import contextlib
import ipaddress
from urllib.parse import urlsplit

from quant.errors import ModelError

KEY_VARIABLE = "LLAMA_API_KEY"
"""The environment variable for the key; `llama-server` itself reads its own from there."""


def is_address(wanted: str) -> bool:
    """Whether a model is named by the address of a server, and not by a path or a name."""
    return wanted.lower().startswith(("http://", "https://"))


def is_on_this_machine(address: str) -> bool:
    """Whether the server at an address can only be on this machine."""
    host = urlsplit(address).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def spelled_address(wanted: str) -> str:
    """An address as it is shown and compared: without what clients of other kinds append to it. Raises ModelError."""
    try:
        parts = urlsplit(wanted)
        port = parts.port
    except ValueError:
        raise ModelError(f"{wanted} is no address; give one as in http://127.0.0.1:8080.") from None
    if not parts.hostname or port == 0:
        raise ModelError(f"{wanted} is no address; give one as in http://127.0.0.1:8080.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ModelError(f"Give the server's address alone, as in http://127.0.0.1:8080, and a key in {KEY_VARIABLE}.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme.lower()}://{host}{f':{port}' if port else ''}{path}"
