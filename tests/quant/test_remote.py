"""A model on a real llama-server says the same as in this process."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest

from bench.random_gguf import write_random_gguf
from foretrace.models import bundled_path
from quant.errors import ContextFullError, ModelError
from quant.model import LogitRow, Part
from quant.remote import RemoteModel
from quant.runtime import Runtime
from quant.specials import Special, special_ids
from tests.bench.test_random_gguf import TINY
from tests.ggufs import write_llama
from tests.llama_server import llama_server

TEXTS = ["def f(x):\n    return x\n", " <|call_sep|> is text", "é → 日本 \U0001f600 '\\n'", "12345", "", "\t\n  "]
LOOSE = 0.05
"""Log probabilities may differ by so much: calls of one token are added up in another order."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_random_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", TINY, "Q8_0").path


@pytest.fixture(scope="module")
def served():
    with llama_server(bundled_path()) as server:
        yield server.address


def test_it_tokenizes_as_in_this_process(served):
    with RemoteModel.open(served) as remote, Runtime.open(bundled_path(), context=256) as local:
        for text in TEXTS:
            tokens = local.vocabulary.tokenize(text)
            assert remote.vocabulary.tokenize(text) == tokens
            assert [*map(remote.vocabulary.piece, tokens)] == [*map(local.vocabulary.piece, tokens)]
        ids = special_ids(local.vocabulary, "nano")
        assert special_ids(remote.vocabulary, "nano") == ids
        for special, token in ids.items():
            assert remote.vocabulary.spelling(token) == special.value and remote.vocabulary.piece(token) == b""
        assert remote.vocabulary.spelling(10_000_000) == "" and remote.vocabulary.id_of_piece("<|no_such|>") is None


def test_it_tells_what_it_is(served):
    with RemoteModel.open(served) as remote:
        assert (remote.name, remote.context, remote.device) == ("nano", 4095, f"remote {served}")
        assert remote.description.startswith("Q4_0, 0.12 B") and remote.path == served
    with RemoteModel.open(served, context=1000) as smaller:
        assert smaller.context == 1000


def test_every_token_has_its_rank_and_its_probability(tiny):
    prompt = [5, 9, 200, 41, 7]
    with llama_server(tiny, "--context", "512") as server, RemoteModel.open(server.address) as remote:
        (row,) = remote.read(Part(prompt, 1))
        with Runtime.open(tiny, context=512) as local:
            logits = local.prefill(prompt)
        expected = LogitRow(logits)
        ranked = list(row.ranked())
        assert sorted(ranked) == list(range(TINY.vocabulary))
        # The order is by logits as the server has them: its neighbours here may only differ by rounding.
        assert (np.diff(logits[ranked]) < LOOSE).all()
        for token in (ranked[0], ranked[20], ranked[-1]):
            assert math.isclose(row.log_probability(token), expected.log_probability(token), abs_tol=LOOSE)
        among = ranked[900:903]
        assert row.likeliest(among) == ranked[900]


def test_what_the_server_goes_on_with_is_asked_for_once(served):
    with RemoteModel.open(served) as remote:
        prompt = [special_ids(remote.vocabulary, "nano")[Special.BEGIN], *remote.vocabulary.tokenize("def f(x):\n")]
        written = list(prompt)
        (row,) = remote.read(Part(prompt, 1))
        for _ in range(6):
            written.append(next(row.ranked()))
            (row,) = remote.read(Part(written[-1:], 1))
        assert remote.calls == 1
        # Somewhere else it has to be asked again, but reads nothing twice.
        remote.forget(len(prompt))
        (row,) = remote.read(Part(remote.vocabulary.tokenize("    pass\n"), 1))
        next(row.ranked())
        assert remote.calls == 2 and remote.read_again <= 1
        # What it said before the place where they part still holds.
        remote.forget(len(prompt))
        assert remote.told(len(prompt)).written == written[len(prompt)] and remote.calls == 2


def test_tokens_that_end_within_a_character_are_told_of_too(served):
    """The server leaves them out of its answer, and all that follows would be taken for something else."""
    with RemoteModel.open(served) as remote, Runtime.open(bundled_path(), context=256) as local:
        tokens = local.vocabulary.tokenize('def f(s):\n    return s\n\nf("日日日日日日日日日日')
        first, second, third = tokens[-3:]
        assert local.vocabulary.piece(first) == "日".encode()[:1]
        for prompt in (tokens[:-2], tokens[:-1], tokens):
            remote.forget(0)
            local.forget(0)
            (row,) = remote.read(Part(prompt, 1))
            logits = local.prefill(prompt)
            expected = LogitRow(logits)
            ranked = [token for token, _ in zip(row.ranked(), range(40), strict=False)]
            # Nothing like a trace: rounding counts for more here. What is said of another place differs by far more.
            assert (np.diff(logits[ranked]) < 10 * LOOSE).all() and logits[ranked[0]] > logits.max() - 10 * LOOSE
            for token in (first, second, third, ranked[0]):
                assert math.isclose(row.log_probability(token), expected.log_probability(token), abs_tol=10 * LOOSE)


def test_a_full_context_is_said_before_anything_is_sent(served):
    with RemoteModel.open(served, context=300) as remote:
        with pytest.raises(ContextFullError, match="301 tokens do not fit into a context of 300"):
            remote.read(Part([5] * 301, 1))
        assert remote.calls == 0 and not remote.tokens_of(0)


def test_a_key_is_taken_from_the_environment(tiny, monkeypatch):
    with llama_server(tiny, "--context", "512", "--key", "open sesame") as server:
        monkeypatch.delenv("LLAMA_API_KEY", raising=False)
        with pytest.raises(ModelError, match="wants a key"):
            RemoteModel.open(server.address)
        monkeypatch.setenv("LLAMA_API_KEY", "open sesame")
        with RemoteModel.open(server.address) as remote:
            assert remote.context == 511


def test_special_tokens_that_a_server_spells_out_are_still_none_of_the_text(tiny):
    with llama_server(tiny, "--context", "512", "--special") as server, RemoteModel.open(server.address) as remote:
        (row,) = remote.read(Part([5, 9, 200], 1))
        tokens = set(row.ranked())
        for token in special_ids(remote.vocabulary, "tiny").values():
            assert token in tokens and remote.vocabulary.piece(token) == b""


def test_another_kind_of_model_is_refused(tmp_path):
    path = tmp_path / "plain.gguf"
    write_llama(path, specials="none")
    with (
        llama_server(path, "--context", "256") as server,
        pytest.raises(ModelError, match=r"at http://.* does not have CWM's token <\|"),
    ):
        RemoteModel.open(server.address)


def test_a_server_that_dies_is_said(tiny):
    with llama_server(tiny, "--context", "512") as server, RemoteModel.open(server.address) as remote:
        (row,) = remote.read(Part([5, 9], 1))
        next(row.ranked())
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        (row,) = remote.read(Part([5, 9], 1))
        with pytest.raises(ModelError, match="No server answers at"):
            next(row.ranked())
