"""The plain functions: settings, lines, edits, values, and which interpreter; no process, no protocol."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument

from debugger.actual.record import record_in_process
from debugger.judge import judge
from debugger.target import SourceFile, targets_in
from lsp_server.analysis import basis_of, moved, without_magics
from lsp_server.documents import Document, Edit, difference
from lsp_server.interpreter import choose_interpreter
from lsp_server.options import Check, Options, When, camel_case, read_options
from lsp_server.positions import Text, split_lines
from lsp_server.values import Look, View, finding, label, table

COUNT = """\
def count(n):
    total = 0
    while n:
        n -= 1
        total += n
    if total > 100:
        total = 100
    return total
"""


def view(source: str = COUNT, call: str = "count(6)", *, real: bool = False, believed: str | None = None) -> View:
    target = targets_in(SourceFile.from_text("count.py", source))[0]
    actual = record_in_process(source, call)
    predicted = record_in_process(believed, call) if believed else actual
    return View.of(target, judge(target, call, predicted, actual if real or believed else None))


def labels(shown: View, turn: int | None = None, **options) -> dict[int, str]:
    found = {}
    for line in shown.visits:
        text = label(shown.at(line, turn), options.get("confidence", 0.5), options.get("length", 40), stale=False)
        if text is not None:
            found[line] = text[0]
    return found


def test_no_settings_are_the_defaults():
    assert read_options(None) == read_options({}) == (Options(), [])
    assert read_options({"predict": None, "python.path": 5, "hover": {}}) == (Options(), [])


def test_settings_are_read():
    settings = {"predict": "save", "check": "save", "maxFrames": 10.0, "timeout": 3, "hints": False, "context": 512}
    options, problems = read_options(settings)
    assert problems == []
    assert options == Options(hints=False, predict=When.SAVE, check=Check.SAVE, max_frames=10, timeout=3.0, context=512)


BAD = [
    ({"predict": "always"}, 'foretrace.predict is "always", but has to be one of "idle", "save", "manual"; "idle"'),
    ({"hints": 1}, "foretrace.hints is 1, but has to be true or false; true is used."),
    ({"maxFrames": 0}, "foretrace.maxFrames is 0, but has to be a whole number from 1 to 100000; 300 is used."),
    ({"maxFrames": 1.5}, "foretrace.maxFrames is 1.5"),
    ({"maxFrames": True}, "foretrace.maxFrames is true"),
    ({"confidence": 2}, "has to be a number from 0 to 1; 0.5 is used."),
    ({"model": ["x"]}, 'foretrace.model is ["x"], but has to be a text; "" is used.'),
    ({"context": "a" * 500}, "…, but has to be a whole number"),
    ({"check": {}}, "foretrace.check is {}"),
    ("everything", "which is no object"),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD)
def test_what_cannot_be_used_is_said_and_the_default_taken(settings, sentence):
    options, [problem] = read_options(settings)
    assert sentence in problem and options == Options()


def test_every_setting_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text("utf-8")
    for name in Options.__dataclass_fields__:
        assert f"| `{camel_case(name)}` |" in page


def test_lines_are_those_of_the_protocol():
    assert split_lines("a\r\nb\rc\nd") == ["a\r\n", "b\r", "c\n", "d"]
    assert split_lines("a\x0cb\u2028c\x85\n") == ["a\x0cb\u2028c\x85\n"]
    assert split_lines("") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_incremental_changes_give_the_text_that_the_editor_has(encoding):
    """Against the definition: a range is cut out of the whole text, columns counted in encoded units."""
    chance = random.Random(7)
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    pieces = ["a", "🙂", "é", "\n", "\r\n", "\r", "\x0c", "\u2028", "", "xy", "\n\n"]

    def random_text(most: int) -> str:
        return "".join(chance.choice(pieces) for _ in range(chance.randrange(most)))

    for _ in range(300):
        text = random_text(12)
        codec = PositionCodec(encoding)
        document = Text.of(TextDocument("file:///a.py", text, 1, position_codec=codec))
        for _ in range(5):
            places = []
            for _ in range(2):
                lines = split_lines(text) or [""]
                if lines[-1].endswith(("\n", "\r")):
                    lines.append("")
                line = chance.randrange(len(lines))
                body = lines[line].rstrip("\r\n")
                index = chance.randrange(len(body) + 1)
                units = len(body[:index].encode(f"{encoding}-le" if size > 1 else encoding)) // size
                over = chance.choice([0, 0, 0, 1000]) if index == len(body) else 0
                offset = sum(map(len, lines[:line])) + index
                places.append((offset, types.Position(line, units + over)))
            (start, first), (end, last) = sorted(places, key=lambda place: place[0])
            new = random_text(4)
            document.apply_change(types.TextDocumentContentChangePartial(types.Range(first, last), new))
            text = text[:start] + new + text[end:]
            assert document.source == text
            assert list(document.lines) == split_lines(text)


def test_the_difference_of_two_texts():
    assert difference(["a", "b"], ["a", "b"]) is None
    assert difference(["a", "b"], ["a", "x", "b"]) == Edit(1, 1, 1)
    assert difference(["a", "b", "c"], ["a", "c"]) == Edit(1, 2, -1)
    assert difference([], ["a"]) == Edit(0, 0, 1)
    assert difference(["a", "a"], ["a", "a", "a"]) == Edit(2, 2, 1)
    edit = Edit(2, 4, -1)
    assert [edit.move(line) for line in range(6)] == [0, 1, None, None, 3, 4]
    assert edit.touches(0, 2) and edit.touches(3, 9) and not edit.touches(0, 1) and not edit.touches(4, 9)
    above = Edit(2, 2, 1)
    assert not above.touches(2, 5) and above.touches(1, 5) and not above.touches(0, 1)


def test_a_document_keeps_values_beside_their_lines():
    document = Document("file:///count.py", Path("count.py"), is_file=True)
    document.update(1, [("file:///count.py", split_lines(COUNT))])
    shown = view()
    document.take([shown.target])
    function = document.functions["count"]
    function.call, function.basis, function.whole = "count(6)", basis_of(shown.target, "count(6)"), True
    function.show(shown, function.own_places())
    assert [place for place, _, _ in document.shown_lines(0, 99)] == sorted(line - 1 for line in shown.visits)

    changed = "# new\n" + COUNT.replace("total = 0", "total = 1")
    document.update(2, [("file:///count.py", split_lines(changed))])
    places = [place for place, _, _ in document.shown_lines(0, 99)]
    assert function.stale and 2 not in places and all(document.lines[place] in COUNT for place in places)
    # Even where places are wrong, nothing stands beside another text.
    function.places = {line: line + 2 for line in function.places}
    assert all(
        document.lines[place].rstrip("\n") == shown.target.file.lines[line - 1].rstrip("\n")
        for place, _, line in document.shown_lines(0, 99)
    )
    document.update(3, [("file:///count.py", [])])
    assert list(document.shown_lines(0, 99)) == []


def test_a_prediction_of_a_function_that_only_moved_is_moved():
    shown = view(real=True)
    before = basis_of(shown.target, "count(6)")
    target = targets_in(SourceFile.from_text("count.py", "\n\nimport os\n" + COUNT))[0]
    after = basis_of(target, "count(6)")
    assert before.digest == after.digest and after.lines == tuple(line + 3 for line in before.lines)
    again = View.of(target, moved(shown.result, target, before, after, None))
    assert labels(again) == {line + 3: text for line, text in labels(shown).items()}
    other = targets_in(SourceFile.from_text("count.py", COUNT.replace("100", "200")))[0]
    assert basis_of(other, "count(6)").digest != before.digest
    assert basis_of(shown.target, "count(7)").digest != before.digest


def test_labels():
    assert labels(view()) == {
        1: "n = 6",
        2: "total = 0",
        4: "n = 5 → 4 → 3 … 0",
        5: "total = 5 → 9 → 12 … 15",
        8: "returns 15",
    }
    assert labels(view(real=True))[5] == "total = 5 → 9 → 12 … 15 ✓"
    assert labels(view(call="count(0)")) == {1: "n = 0", 2: "total = 0", 8: "returns 0"}
    wrong = view(believed=COUNT.replace("total += n", "total += n if n != 3 else 7"))
    assert labels(wrong)[5] == "total = 5 → 9 → 16 ≠ 12 …" and labels(wrong)[8] == "returns 19 ≠ 15"
    assert label(wrong.at(5, None), 0.5, 40, stale=True)[1] is Look.STALE
    shorter = COUNT.replace("while n:", "while n > 5:")
    assert labels(view(believed=shorter))[4].startswith("n = 5 → 4 (not predicted) …")
    assert labels(view(shorter, believed=COUNT))[4] == "n = 5 → 3 (predicted only) …"
    missed = view(call="count(20)", believed=COUNT.replace("> 100", "> 1000"))
    assert labels(missed)[7] == "line 8 next (predicted only), total = 100 (not predicted)"
    assert table(missed, missed.at(7, None)).endswith("| `line 8 next` (predicted only) | `100` (not predicted) |")


def test_turns():
    shown = view()
    assert len(shown.turns) == 6
    assert labels(shown, 2) == {1: "n = 6", 2: "total = 0", 4: "n = 3", 5: "total = 12"}
    assert labels(shown, 5)[8] == "returns 15"
    assert labels(shown, 99) == labels(shown, 5)
    assert view(call="count(0)").turns == ()


def test_long_values_are_shortened_for_display_only():
    source = "def f(n):\n    x = 'a' * n\n    return x\n"
    shown = view(source, "f(500)")
    assert labels(shown)[2] == "x = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    assert shown.visits[2][0].values[0].predicted == repr("a" * 500)
    assert labels(shown, length=10)[2] == "x = 'aaaaaaaa…"


def test_unreached_lines():
    assert view().unreached == (range(7, 8),)
    assert view(call="count(20)").unreached == ()
    source = (
        "def f(x):\n    'Doc.'\n    global y\n    z: int\n    if x:\n"
        "        return (\n            1\n        )\n    return 2\n"
    )
    assert view(source, "f(1)").unreached == (range(9, 10),)
    assert view(source, "f(0)").unreached == (range(6, 9),)


def test_findings():
    assert finding(view()) is None and finding(view(real=True)) is None
    source = "def f(items):\n    return items[0]\n"
    expected = finding(view(source, "f([])"))
    assert (expected.code, expected.line) == ("expected-exception", 2)
    assert expected.text == "The model expects IndexError here for f([])."
    seen = finding(view(source, "f([])", real=True))
    assert seen.text == "IndexError is raised here for f([]), as the real run confirmed."
    parted = finding(view(believed=COUNT.replace("total = 0", "total = 1")))
    assert (parted.code, parted.line) == ("divergence", 2)
    assert "`total` was expected to be 1, but it is 0" in parted.text
    assert parted.more[0].line == 5


def test_tables_hold_any_text():
    source = "def f(x):\n    y = '|`' + x + chr(10)\n    return y\n"
    text = table(view(source, "f('``')"), view(source, "f('``')").visits[2])
    assert len(text.splitlines()) == 3 and "\\|" in text


def test_magics_are_no_python():
    for cell in ("%time f()\nx = 1", "!ls | wc\nx = 1", "%%bash\nls\nrm", "x = 5 % 3\n"):
        text = without_magics(cell)
        compile(text, "cell", "exec")
        assert text.count("\n") == cell.count("\n")


def test_the_interpreter(tmp_path):
    def environment(name: str) -> Path:
        path = tmp_path / name
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").touch()
        (path / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = 3.{len(name)}.1\n")
        return path

    if os.name == "nt":
        pytest.skip("other folders")
    assert choose_interpreter("", "", tmp_path, {}).source in ("PATH", "foretrace")
    own = environment(".venv")
    choice = choose_interpreter("", "", tmp_path, {})
    assert (choice.path, choice.source, choice.version) == (str(own / "bin" / "python"), ".venv", "3.5.1")
    active = environment("active")
    assert choose_interpreter("", "", tmp_path, {"VIRTUAL_ENV": str(active)}).source == "VIRTUAL_ENV"
    assert choose_interpreter("", "/usr/bin/python3", tmp_path, {"VIRTUAL_ENV": str(active)}).source == "editor"
    choice = choose_interpreter(".venv/bin/python", "/usr/bin/python3", tmp_path, {})
    assert (choice.path, choice.source) == (str(own / "bin" / "python"), "settings")
