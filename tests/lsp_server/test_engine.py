"""The model as the host uses it, with the model that is shipped."""

from __future__ import annotations

from contextlib import closing

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
