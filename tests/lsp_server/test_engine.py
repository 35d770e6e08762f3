"""The model as the host uses it, with the model that is shipped."""

from __future__ import annotations

from contextlib import closing

import pytest

from debugger.target import SourceFile, targets_in
from foretrace.models import bundled_path
from lsp_server.host.engine import GgufEngine
from lsp_server.host.wire import Request

BEFORE = """\
def f(n):
    total = 0
    for i in range(n):
        total += i
    return total
"""
AFTER = "# an edit\n" + BEFORE.replace("return total", "return n")


def predicted(engine: GgufEngine, text: str, stop_at: int | None = None):
    target = targets_in(SourceFile.from_text("program.py", text))[0]
    frames = []
    trace = engine.predict(
        Request.of(target, "f(3)", 14), cancelled=lambda: len(frames) == stop_at, on_frame=frames.append
    )
    return trace


def test_an_edit_is_predicted_as_from_nothing_in_fewer_calls():
    with closing(GgufEngine(bundled_path(), 1024)) as engine:
        cold = predicted(engine, AFTER)
        cold_calls = engine.calls
    with closing(GgufEngine(bundled_path(), 1024)) as engine:
        predicted(engine, BEFORE)
        before = engine.calls
        assert predicted(engine, AFTER) == cold
        assert engine.calls - before < cold_calls
        before = engine.calls
        predicted(engine, BEFORE, stop_at=2)  # the whole one of before is still the draft
        assert predicted(engine, AFTER) == cold
        assert engine.calls - before < cold_calls


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "foretrace" / "states"


def test_the_next_host_does_not_read_a_long_source_again(cache):
    text = BEFORE.replace("    return", "".join(f"    x{i} = total * {i}\n" for i in range(30)) + "    return")
    traces, read = [], []
    for edited in (text, text, text.replace("return total", "return n")):
        with closing(GgufEngine(bundled_path(), 1024)) as engine:
            evaluate = engine._runtime.evaluate

            def counting(parts, evaluate=evaluate):
                read[-1] += sum(len(part.tokens) for part in parts)
                return evaluate(parts)

            engine._runtime.evaluate = counting
            read.append(0)
            traces.append(predicted(engine, edited, stop_at=1))
    assert traces[0] == traces[1]
    assert len(list(cache.glob("*.state"))) == 1
    assert read[1] < read[0] - 128 and read[2] < read[0] - 128
