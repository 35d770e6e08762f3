"""A model elsewhere, which llama.cpp's `llama-server` has loaded: the same decoding, with a request for a few tokens.

The server cannot say what its model thinks of tokens that it is given, only of those that it writes itself. So it is
asked to go on by itself for a while, and tells with each token which others would have been likeliest. As long as the
token that decoding chooses is the one that the server wrote, no further request is needed; where it is another one, and
where tokens without choice have been written, the next request begins there. The server keeps what it has read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Any

from quant.address import KEY_VARIABLE
from quant.errors import ContextFullError, ModelError
from quant.llama_server import LlamaServer
from quant.model import Part, Row
from quant.runtime import common_prefix
from quant.specials import Special, special_ids

_RANKED = (16, 1024, 1 << 20)
"""So many of the likeliest tokens are asked for at first, and where none of them can come; the last are all."""
_FIRST_STRETCH, _LONGEST_STRETCH = 8, 64
"""Tokens that the server writes in one request: more as long as they are what decoding chooses."""
_FORCE = 10_000.0
"""Added to a token's logit, it makes the server choose that token."""
_TEXTS = 4096
"""Texts whose tokens are remembered."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What the server said about the token at one place."""

    written: int
    """The token that it wrote there."""
    log: float
    """Its log probability."""
    logs: Mapping[int, float]
    """The likeliest tokens, in that order, with their log probabilities."""
    width: int
    """How many were asked for, as a position in `_RANKED`."""
    others: dict[int, float] = field(default_factory=dict[int, float])
    """Log probabilities of tokens that were asked about one by one."""


class RemoteVocabulary:
    """The tokens of a server's model, as the server spells them."""

    def __init__(self, server: LlamaServer) -> None:
        """Ask that server."""
        self._server = server
        self._pieces: dict[int, bytes] = {}
        self._tokens_of = functools.lru_cache(_TEXTS)(self._ask_tokens)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text: nothing is added, and no special token is ever made from characters."""
        return list(self._tokens_of(text))

    def piece(self, token: int) -> bytes:
        """The bytes of text of a token that the server has named so far; none for a special token."""
        return self._pieces.get(token, b"")

    def spelling(self, token: int) -> str:
        """How the vocabulary spells a token, special or not; '' for an id beyond it."""
        try:
            return str(self._server.ask("/detokenize", {"tokens": [token]})["content"])
        except ModelError:
            return ""

    def id_of_piece(self, piece: str) -> int | None:
        """The id of the special token spelled exactly `piece`, or None."""
        tokens = self._server.ask("/tokenize", {"content": piece, "parse_special": True, "add_special": False})
        found: list[int] = tokens["tokens"]
        return found[0] if len(found) == 1 and found != self.tokenize(piece) else None

    def note(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Remember the pieces of tokens that a completion names."""
        for entry in entries:
            if entry["id"] not in self._pieces:
                piece = bytes(entry["bytes"])
                # A server with `--special` spells special tokens out where others say nothing.
                spelled_out = piece.startswith(b"<|") and self.id_of_piece(piece.decode(errors="replace"))
                self._pieces[entry["id"]] = b"" if spelled_out == entry["id"] else piece

    def _ask_tokens(self, text: str) -> tuple[int, ...]:
        asked = {"content": text, "parse_special": False, "add_special": False, "with_pieces": True}
        found: list[dict[str, Any]] = self._server.ask("/tokenize", asked)["tokens"]
        for entry in found:
            piece = entry["piece"]
            self._pieces[entry["id"]] = piece.encode() if isinstance(piece, str) else bytes(piece)
        return tuple(entry["id"] for entry in found)


class RemoteModel:
    """The model of a server, with one sequence of tokens. Not for several threads, but for `interrupt`.

    Own it with `with RemoteModel.open(...) as model`, or call `close()`.
    """

    checks_drafts = False
    token_cost = 1.0
    sequences = 1

    def __init__(self, server: LlamaServer, name: str, description: str, context: int, identity: object) -> None:
        """Take a server over; use `open`."""
        self._server = server
        self._identity = identity
        self._connections = server.connections
        self.path = server.address
        """The server's address."""
        self.name = name
        """What the server calls its model."""
        self.description = description
        self.device = f"remote {server.address}"
        self.context = context
        self.vocabulary = RemoteVocabulary(server)
        self.calls = 0
        """Requests for completions."""
        self.written = 0
        """Tokens that the server wrote for them, whether they were of use or not."""
        self.read_again = 0
        """Tokens of prompts that the server had to read though it had read them before."""
        self._tokens: list[int] = []
        self._path: list[int] = []
        """The tokens along which `_told` is known: those of the last request, and what the server wrote."""
        self._told: dict[int, _Told] = {}
        """By position along the path what was said there."""
        self._harmless = 0
        """A token that ends no text and no character."""
        self._stretch = _FIRST_STRETCH
        self._asked_up_to = 0

    @classmethod
    def open(cls, address: str, *, context: int | None = None) -> RemoteModel:
        """Get to know the server at an address, and its model; `context` asks for fewer tokens than it has room for.

        A key is taken from LLAMA_API_KEY. Raises ModelError, also where the model is no Code World Model.
        """
        server = LlamaServer(address, os.environ.get(KEY_VARIABLE) or None)
        try:
            name, description, room, identity = _facts(server)
            model = cls(server, name, description, min(room, context or room), identity)
            model._harmless = special_ids(model.vocabulary, f"The model {name} at {server.address}")[Special.FRAME]
        except BaseException:
            server.close()
            raise
        return model

    def __enter__(self) -> RemoteModel:
        """Use the model and hang up at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up."""
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._server.close()

    def interrupt(self) -> None:
        """Break off what the server is asked, from any thread; until `resume` everything is cancelled."""
        self._server.interrupt()

    def resume(self) -> None:
        """Evaluate again."""
        self._server.resume()

    def metadata(self, key: str) -> str | None:
        """None: a server does not tell."""
        return None

    def tokens_of(self, sequence: int) -> Sequence[int]:
        """The tokens of the one sequence."""
        return self._tokens

    def forget(self, length: int, sequence: int = 0) -> int:
        """Forget the tokens from position `length` on, and return how many are left."""
        del self._tokens[length:]
        return len(self._tokens)

    def read(self, part: Part) -> Sequence[Row]:
        """Hold a part's tokens; the server is asked when a row is looked at. Raises ContextFullError."""
        end = len(self._tokens) + len(part.tokens)
        if end > self.context:
            raise ContextFullError(f"{end} tokens do not fit into a context of {self.context}; ask for a larger one.")
        self._tokens.extend(part.tokens)
        return [_RemoteRow(self, position) for position in range(end - part.rows + 1, end + 1)]

    def told(self, position: int, width: int = 0) -> _Told:
        """What the server says about the token at a position. Raises ModelError, CancelledError."""
        known = self._told.get(position)
        if known is None or self._path[:position] != self._tokens[:position]:
            self._follow(position)
            known = self._told[position]
        if known.width < width:
            known = self._told[position] = self._complete(position, 1, width)[0]
        return known

    def log_probability(self, position: int, token: int) -> float:
        """The log probability of a token that may not be among the likeliest."""
        known = self.told(position)
        if token not in known.logs and token not in known.others:
            forced = self._forced(position, token, 0)
            if forced is None:
                known = self.told(position, len(_RANKED) - 1)
            else:
                known.others[token] = forced.log
        return known.logs[token] if token in known.logs else known.others[token]

    def _follow(self, position: int) -> None:
        """Have the server go on from a position."""
        agreed = common_prefix(self._path, self._tokens[:position])
        if agreed == len(self._path) and position == self._asked_up_to:
            self._stretch = min(2 * self._stretch, _LONGEST_STRETCH)
        elif agreed < len(self._path):
            self._stretch = max(_FIRST_STRETCH, self._stretch // 2)
        told = self._complete(position, min(self._stretch, self.context + 1 - position), 0)
        self._told = {place: each for place, each in self._told.items() if place <= agreed}
        self._told |= dict(enumerate(told, position))
        self._path = [*self._tokens[:position], *(each.written for each in told)]
        self._asked_up_to = len(self._path)

    def _complete(self, position: int, count: int, width: int) -> list[_Told]:
        """What the server says about the tokens from a position on, of which it writes `count`, or fewer."""
        told = self._ask(position, count, width)
        if told:
            return told
        # Its likeliest token ends within a character, and so it says nothing.
        forced = self._forced(position, self._harmless, width)
        if forced is None:
            raise ModelError(
                f"The server at {self.path} tells no probabilities; give the address of a newer llama-server."
            )
        likeliest = next(iter(forced.logs))
        return [_Told(likeliest, forced.logs[likeliest], forced.logs, width)]

    def _forced(self, position: int, token: int, width: int) -> _Told | None:
        """The same where the server has to write a certain token; None for one that ends within a character."""
        return next(iter(self._ask(position, 1, width, [[token, _FORCE]])), None)

    def _ask(self, position: int, count: int, width: int, bias: Sequence[Sequence[float]] = ()) -> list[_Told]:
        asked: dict[str, Any] = {
            "prompt": self._tokens[:position],
            "n_predict": count,
            "n_probs": _RANKED[width],
            "samplers": ["top_k"],
            "top_k": 1,
            "temperature": 0,
            "cache_prompt": True,
            "stream": False,
            "return_tokens": True,
            "response_fields": ["completion_probabilities", "tokens", "timings"],
        }
        if bias:
            asked["logit_bias"] = bias
        answer = self._server.ask("/completion", asked)
        if self._server.connections != self._connections:
            self._check_identity()
        self.calls += 1
        written: list[int] = answer.get("tokens") or []
        self.written += len(written)
        cached = answer.get("timings", {}).get("cache_n", 0)
        self.read_again += max(0, common_prefix(self._path, self._tokens[:position]) - 1 - cached)
        told: list[_Told] = []
        for entry, token in zip(answer.get("completion_probabilities") or [], written, strict=False):
            # Tokens that end within a character are left out: behind the first one the entries are of later ones.
            if entry["id"] != token or "top_logprobs" not in entry:
                break
            self.vocabulary.note(entry["top_logprobs"])
            logs = {each["id"]: each["logprob"] for each in entry["top_logprobs"]}
            told.append(_Told(token, entry["logprob"], logs, width))
        return told

    def _check_identity(self) -> None:
        """Make sure that a server which was connected to anew still has the same model. Raises ModelError."""
        name, _, _, identity = _facts(self._server)
        if identity != self._identity:
            raise ModelError(f"The server at {self.path} has another model now, {name}; start again to use that.")
        self._connections = self._server.connections


class _RemoteRow:
    """What a server's model says about the token at one place."""

    __slots__ = ("_model", "_position")

    def __init__(self, model: RemoteModel, position: int) -> None:
        """Look at it when it is asked for."""
        self._model = model
        self._position = position

    def likeliest(self, tokens: Sequence[int]) -> int:
        """The likeliest of the given tokens."""
        wanted = set(tokens)
        return next(token for token in self.ranked() if token in wanted)

    def ranked(self) -> Iterator[int]:
        """All tokens from the likeliest down; the server is asked for more where those that it named do not do."""
        seen: set[int] = set()
        for width in range(len(_RANKED)):
            for token in self._model.told(self._position, width).logs:
                if token not in seen:
                    seen.add(token)
                    yield token

    def log_probability(self, token: int) -> float:
        """The natural logarithm of the token's probability."""
        return self._model.log_probability(self._position, token)


def _facts(server: LlamaServer) -> tuple[str, str, int, object]:
    """The model's name, what it is, the tokens that it has room for, and what tells it from others."""
    properties = server.ask("/props")
    models: list[dict[str, Any]] = server.ask("/v1/models").get("data") or [{}]
    meta: dict[str, Any] = models[0].get("meta") or {}
    room = properties.get("default_generation_settings", {}).get("n_ctx")
    if not isinstance(room, int) or len(models) > 1:
        raise ModelError(
            f"The server at {server.address} does not say which one model it has loaded; give the address of a "
            "llama-server with one model."
        )
    path = str(properties.get("model_path") or models[0].get("id") or "model")
    name = (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).stem
    parameters = meta.get("n_params")
    size = f"{parameters / 1e9:.2g} B parameters" if isinstance(parameters, int) else ""
    quantized = properties.get("model_ftype") or meta.get("ftype") or ""
    description = ", ".join(part for part in (str(quantized), size) if part)
    identity = (path, meta.get("n_params"), meta.get("size"), meta.get("n_vocab"))
    # The last place is for the token that the server writes.
    return name, description, room - 1, identity
