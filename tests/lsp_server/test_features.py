"""Every feature as an editor sees it: a real server over real standard input and output, a stand-in for the model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.editor import CAPABILITIES, SECONDS, WHOLE, Editor, editor

TOTAL = """\
import math


# foretrace: total([1, 2, 3])
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    if result > 100:
        result = 100
    return result


class Greeter:
    # foretrace: Greeter().greet("you")
    def greet(self, name):
        greeting = "hello " + name
        return greeting


# foretrace: first([])
def first(items):
    return items[0]


def unknown(x):
    return x
"""
WRONG = "# believes: += number -> += 2 * number\n" + TOTAL


def run(work):
    async def limited():
        return await asyncio.wait_for(work, 4 * SECONDS)

    return asyncio.run(limited())


def write(folder: Path, text: str, name: str = "total.py") -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path.as_uri()


async def predicted(client: Editor, uri: str, *qualnames: str):
    """Wait until nothing is being predicted and the named functions are; gives all functions by name."""

    async def look():
        answer = await client.request("functions", uri=uri)
        found = {each.function: each for each in answer.functions} if answer else {}
        done = all(name in found and found[name].status and not found[name].stale for name in qualnames)
        return found if done and found and not any(each.predicting for each in found.values()) else None

    return await client.until(look, f"the prediction of {qualnames}")


def test_hints_come_by_themselves(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "Greeter.greet", "first")
            labels = await client.labels(uri)
            assert labels == {
                4: "numbers = [1, 2, 3]",
                5: "result = 0",
                6: "number = 1 → 2 → 3",
                7: "result = 1 → 3 → 6",
                10: "returns 6",
                15: "name = 'you'",
                16: "greeting = 'hello you'",
                17: "returns 'hello you'",
                21: "items = []",
                22: "raises IndexError('list index out of ra…",
            } | {15: labels[15]}
            assert labels[15].endswith("name = 'you'")  # after self, whose repr has an address or not
            assert set((await client.states(uri)).values()) == {"predicted"}
            # A range that does not start at the top, and the ends of its lines.
            part = await client.hints(uri, types.Range(types.Position(6, 0), types.Position(7, 3)))
            assert [(hint.position.line, hint.position.character) for hint in part] == [(6, 26), (7, 24)]
            resolved = await client.ask(client.inlay_hint_resolve_async(part[0]))
            assert "| 3 | `3`" in resolved.tooltip.value
            await client.until(lambda: client.told.get(types.WORKSPACE_INLAY_HINT_REFRESH))

    run(work())


def test_lenses_and_turns(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "Greeter.greet", "first")
            lenses = await client.lenses(uri)
            titles = {}
            for lens in lenses:
                titles.setdefault(lens.range.start.line, []).append(lens.command.title)
            assert titles[4] == [
                "Predict total([1, 2, 3])",
                "Check against a real run",
                "Other call…",
                "All 3 turns ▶",
            ]
            assert titles[15][0] == "Predict Greeter().greet('you')"
            assert titles[25] == ["Predict a call…", "Check against a real run", "Other call…"]
            about = {"uri": uri, "function": "total"}
            assert (await client.run("nextIteration", **about))["turn"] == 0
            labels = await client.labels(uri)
            assert (labels[6], labels[7], labels.get(10)) == ("number = 1", "result = 1", None)
            assert "Turn 1 of 3 ▶" in await client.titles(uri)
            assert (await client.run("previousIteration", **about))["turn"] is None
            assert (await client.run("previousIteration", **about))["turn"] == 2
            labels = await client.labels(uri)
            assert (labels[7], labels[10]) == ("result = 6", "returns 6")
            assert (await client.run("nextIteration", **about))["turn"] is None
            assert (await client.run("showIteration", **about, turn=1))["turn"] == 1
            assert (await client.labels(uri))[7] == "result = 3"
            with pytest.raises(JsonRpcException, match="a number from 0"):
                await client.run("showIteration", **about, turn="two")
            with pytest.raises(JsonRpcException, match="Nothing is predicted for unknown"):
                await client.run("nextIteration", uri=uri, function="unknown")

    run(work())


def test_hover_shows_all_values_of_a_line(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "first")
            text = await client.hover(uri, 7)
            assert "`total([1, 2, 3])`, predicted by stand-in: returned 6" in text
            assert [line for line in text.splitlines() if line.startswith("| 3")] == ["| 3 | `6` (99%) |"]
            assert await client.hover(uri, 0) is None
            assert await client.hover(uri, 26) is None
            assert await client.hover(uri, 99_999) is None

    run(work())


def test_a_check_confirms(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime, folders=[tmp_path]) as client:
            client.open(uri, TOTAL)
            summary = await client.run("check", uri=uri, line=6)
            assert summary["status"] == "confirmed" and summary["function"] == "total"
            assert summary["text"] == "Confirmed: total([1, 2, 3]) returned 6, as predicted."
            labels = await client.labels(uri, types.Range(types.Position(0, 0), types.Position(11, 0)))
            assert labels[7] == "result = 1 → 3 → 6 ✓" and labels[10] == "returns 6 ✓"
            assert "confirmed by a real run" in await client.hover(uri, 7)
            # An exception that both saw.
            assert (await client.run("check", uri=uri, function="first"))["status"] == "confirmed"
            found = await client.until(
                lambda: [each for each in client.diagnostics(uri) if each.range.start.line == 22]
            )
            assert "IndexError is raised here for first([]), as the real run confirmed" in found[0].message

    run(work())


def test_a_check_shows_where_the_runs_part(runtime, model, tmp_path):
    uri = write(tmp_path, WRONG)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, WRONG)
            summary = await client.run("check", uri=uri, function="total")
            assert summary["status"] == "diverged"
            assert summary["text"] == "total([1, 2, 3]): the prediction returned 12, the real run returned 6."
            labels, states = await client.labels(uri), await client.states(uri)
            assert labels[8] == "result = 2 ≠ 1 …" and labels[11] == "returns 12 ≠ 6"
            assert labels[6] == "result = 0 ✓"
            assert states[8] == "diverged" and states[6] == "confirmed"
            found = await client.until(lambda: [e for e in client.diagnostics(uri) if e.code == "divergence"])
            [diagnostic] = found
            assert diagnostic.severity == types.DiagnosticSeverity.Warning
            assert diagnostic.range == types.Range(types.Position(8, 8), types.Position(8, 24))
            assert "`result` was expected to be 2, but it is 1" in diagnostic.message
            assert any("expected to return 12" in each.message for each in diagnostic.related_information)
            titles = [action.title for action in await client.actions(uri, 8, [diagnostic])]
            assert "Check against a real run again" in titles
            frames = await client.request("frames", uri=uri, function="total")
            first = next(row for row in frames.rows if row.first)
            assert (first.line, first.state) == (8, "differs")
            assert (first.predicted[0].text, first.actual[0].text) == ("result = 2", "result = 1")
            assert (frames.predicted, frames.actual) == ("returned 12", "returned 6")
            assert frames.stories[0].line == 8 and len(frames.turnRows) == 3
            assert await client.request("frames", uri=uri, function="none") is None

    run(work())


def test_a_check_of_what_is_not_saved_is_refused(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL + "\n")
            with pytest.raises(JsonRpcException, match=r"Save total\.py first"):
                await client.run("check", uri=uri, function="total")
            with pytest.raises(JsonRpcException, match="There is no function none"):
                await client.run("check", uri=uri, function="none")
            with pytest.raises(JsonRpcException, match="is not open"):
                await client.run("check", uri="file:///none.py", function="f")
            with pytest.raises(JsonRpcException, match="Line 1 is outside any function"):
                await client.run("predict", uri=uri, line=0)
            with pytest.raises(JsonRpcException, match="No call of unknown is known"):
                await client.run("predict", uri=uri, function="unknown")

    run(work())


def test_expected_exceptions_and_unreached_lines(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "first")
            both = {"expected-exception", "unreached"}  # of two functions, which may be told of one by one
            await client.until(lambda: both <= {each.code for each in client.diagnostics(uri)})
            found = {each.code: each for each in client.diagnostics(uri)}
            assert found["expected-exception"].message == "The model expects IndexError here for first([])."
            assert found["expected-exception"].severity == types.DiagnosticSeverity.Information
            assert found["unreached"].range == types.Range(types.Position(9, 8), types.Position(9, 20))
            assert found["unreached"].tags == (types.DiagnosticTag.Unnecessary,)
            client.settings = {"diagnostics": False, "dimUnreached": False}
            client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            await client.until(lambda: not client.diagnostics(uri))

    run(work())


def test_pulled_diagnostics(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)
    capabilities = types.ClientCapabilities(
        workspace=CAPABILITIES.workspace,
        text_document=types.TextDocumentClientCapabilities(diagnostic=types.DiagnosticClientCapabilities()),
    )

    async def work():
        async with editor(model, runtime, capabilities=capabilities) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "first")
            await client.until(lambda: client.told.get(types.WORKSPACE_DIAGNOSTIC_REFRESH))
            report = await client.ask(
                client.text_document_diagnostic_async(types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri)))
            )
            assert {item.code for item in report.items} == {"expected-exception", "unreached"}
            assert types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS not in client.told

    run(work())


def test_diagnostics_are_pushed_where_a_pull_cannot_be_asked_for(runtime, model, tmp_path):
    """Neovim 0.11: it pulls after edits, and would not hear of a check."""
    uri = write(tmp_path, WRONG)
    capabilities = types.ClientCapabilities(
        text_document=types.TextDocumentClientCapabilities(diagnostic=types.DiagnosticClientCapabilities())
    )

    async def work():
        async with editor(model, runtime, capabilities=capabilities) as client:
            client.open(uri, WRONG)
            await predicted(client, uri, "total")
            await client.run("check", uri=uri, function="total")
            await client.until(lambda: [e for e in client.diagnostics(uri) if e.code == "divergence"])
            report = await client.ask(
                client.text_document_diagnostic_async(types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri)))
            )
            assert not report.items  # not twice

    run(work())


def apply(text: str, action: types.CodeAction, uri: str) -> str:
    [edit] = action.edit.changes[uri]
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: edit.range.start.line])) + edit.range.start.character
    end = sum(map(len, lines[: edit.range.end.line])) + edit.range.end.character
    return text[:start] + edit.new_text + text[end:]


DOCUMENTED = '''\
def double(n):
    """Twice as much."""
    result = 2 * n
    return result


print(double(4))
'''


def test_actions_keep_what_was_seen(runtime, model, tmp_path):
    uri = write(tmp_path, DOCUMENTED, "double.py")

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, DOCUMENTED)
            await predicted(client, uri, "double")
            actions = {action.title: action for action in await client.actions(uri, 2)}
            assert list(actions) == ["Add `# foretrace: double(4)`"]
            text = apply(DOCUMENTED, actions["Add `# foretrace: double(4)`"], uri)
            assert text == "# foretrace: double(4)\n" + DOCUMENTED
            await client.run("check", uri=uri, function="double")
            actions = {action.title: action for action in await client.actions(uri, 2)}
            text = apply(DOCUMENTED, actions["Assert the real value: `assert result == 8`"], uri)
            assert text.splitlines()[2:4] == ["    result = 2 * n", "    assert result == 8"]
            text = apply(DOCUMENTED, actions["Add a doctest: `double(4)` gives 8"], uri)
            assert text.splitlines()[1:5] == ['    """Twice as much.', "", "    >>> double(4)", "    8"]
            assert text.splitlines()[5] == '    """'
            import doctest

            space: dict = {}
            exec(text, space)
            assert doctest.run_docstring_examples(space["double"], space) is None

    run(work())


def test_a_doctest_where_there_is_no_docstring(runtime, model, tmp_path):
    text = "# foretrace: f(1)\ndef f(x):\n    return [x]"
    uri = write(tmp_path, text, "f.py")

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, text)
            await client.run("check", uri=uri, function="f")
            actions = {action.title: action for action in await client.actions(uri, 2)}
            changed = apply(text, actions["Add a doctest: `f(1)` gives [1]"], uri)
            assert changed.splitlines()[2:6] == ['    """', "    >>> f(1)", "    [1]", '    """']

    run(work())


def test_inline_values_while_a_debugger_is_stopped(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            stopped = types.Range(types.Position(7, 0), types.Position(7, 24))
            values = await client.ask(
                client.text_document_inline_value_async(
                    types.InlineValueParams(
                        types.TextDocumentIdentifier(uri),
                        types.Range(types.Position(4, 0), types.Position(11, 0)),
                        types.InlineValueContext(1, stopped),
                    )
                )
            )
            texts = {v.range.start.line: v.text for v in values if isinstance(v, types.InlineValueText)}
            assert texts[7] == "predicted: result = 1 → 3 → 6" and 10 not in texts
            looked_up = [v for v in values if isinstance(v, types.InlineValueVariableLookup)]
            assert any(v.variable_name == "number" and v.range.start.character == 8 for v in looked_up)

    run(work())


def test_other_calls(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            about = {"uri": uri, "function": "total"}
            assert [each["call"] for each in await client.run("calls", **about)] == ["total([1, 2, 3])"]
            assert (await client.run("otherCall", **about, call="total([5])"))["call"] == "total([5])"
            assert (await client.labels(uri))[10] == "returns 5"
            assert [each["origin"] for each in await client.run("calls", **about)] == ["given", "comment"]
            assert "Predict total([5])" in await client.titles(uri)
            with pytest.raises(JsonRpcException, match="does not parse"):
                await client.run("otherCall", **about, call="total(")
            # Without a prompt of its own the client shows a message with the calls.
            client.picks = lambda params: params.actions[0]
            assert (await client.run("otherCall", **about))["call"] == "total([1, 2, 3])"
            client.picks = lambda params: None
            assert await client.run("otherCall", **about) is None
            assert (await client.labels(uri))[10] == "returns 6"

    run(work())


def test_progress_can_be_cancelled(runtime, model, tmp_path):
    text = "# endless\n" + TOTAL
    uri = write(tmp_path, text)

    async def work():
        async with editor(model, runtime, settings={"predict": "manual", "maxFrames": 100_000}) as client:
            client.open(uri, text)
            client.cancel_progress = True
            with pytest.raises(JsonRpcException, match="was cancelled"):
                await client.run("predict", uri=uri, function="total")
            assert client.progress
            await predicted(client, uri)
            # The lens of a prediction under way cancels it, too.
            task = asyncio.create_task(client.run("predict", uri=uri, function="total"))
            await client.until(lambda: _is_predicting(client, uri))
            await client.run("cancel", uri=uri, function="total")
            with pytest.raises(JsonRpcException, match="cancelled"):
                await task

    run(work())


async def _is_predicting(client: Editor, uri: str) -> bool:
    return any("cancel" in title for title in await client.titles(uri))


def test_settings(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        settings = {"predict": "often", "maxFrames": -1, "confidence": 0.995, "hints": True, "unknown": 1}
        async with editor(model, runtime, settings=settings) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            assert len(client.messages) == 1
            assert (
                'foretrace.predict is "often", but has to be one of "idle", "save", "manual"; "idle" is used.'
                in client.messages[0]
            )
            assert "foretrace.maxFrames is -1" in client.messages[0]
            assert (await client.labels(uri))[7] == "result = 1 → 3 → 6 ?"  # the stand-in is never surer than 99%
            assert (await client.states(uri))[7] == "unsure"
            # Pushed.
            pushed = {"foretrace": {"hints": False}}
            client.workspace_did_change_configuration(types.DidChangeConfigurationParams(pushed))
            assert await client.hints(uri) == []
            pushed = {"foretrace": {"valueLength": 5}}
            client.workspace_did_change_configuration(types.DidChangeConfigurationParams(pushed))
            assert (await client.labels(uri))[4] == "numbers = [1, …"
            assert await client.run("toggleHints") is False
            assert await client.hints(uri) == []
            answer = await client.request("hints", uri=uri)
            assert {hint.state for hint in answer.hints} == {"predicted"}
            assert await client.run("toggleHints") is True

    run(work())


def test_first_settings_and_a_client_that_never_tells_more(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime, **{"start": {}}) as client:
            pass
        capabilities = types.ClientCapabilities(workspace=types.WorkspaceClientCapabilities(configuration=True))
        start = {"settings": {"predict": "manual", "timeout": "long"}}
        async with editor(model, runtime, capabilities=capabilities, **start) as client:
            client.open(uri, TOTAL)
            await client.until(lambda: client.messages)
            assert "foretrace.timeout" in client.messages[0]

    run(work())


def test_nothing_is_predicted_unasked_in_manual_mode(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime, settings={"predict": "manual"}) as client:
            client.open(uri, TOTAL)
            await client.until(lambda: client.titles(uri))
            client.save(uri)
            assert await client.hints(uri) == []
            assert (await client.run("predict", uri=uri, function="first"))["status"] == "done"
            assert set(await client.labels(uri)) == {21, 22}
            assert model.with_suffix(".asked").read_text() == "first([])\n"

    run(work())


def test_save_mode_predicts_on_saving(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime, settings={"predict": "save", "idleDelay": 50}) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            client.edit(uri, 2, (5, 13), (5, 14), "7")
            changed = TOTAL.replace("result = 0", "result = 7")

            async def analysed():
                answer = await client.request("functions", uri=uri)
                return [each for each in answer.functions if each.stale and each.function == "total"]

            await client.until(analysed)
            assert (await client.states(uri))[6] == "stale"
            (tmp_path / "total.py").write_text(changed)
            client.save(uri)
            await predicted(client, uri, "total")
            assert (await client.labels(uri))[10] == "returns 13"

    run(work())


def test_checks_on_saving_need_trust(runtime, model, tmp_path):
    ran = tmp_path / "ran"
    text = f"# foretrace: f(1)\ndef f(x):\n    return x\n\n\nopen({str(ran)!r}, 'w').close()\n"
    uri = write(tmp_path, text, "f.py")

    async def work():
        async with editor(model, runtime, settings={"check": "save"}) as client:
            client.open(uri, text)
            await predicted(client, uri, "f")
            ran.unlink(missing_ok=True)  # the stand-in runs it; the real model never does
            client.save(uri)
            await predicted(client, uri, "f")
            assert (await client.labels(uri))[2] == "returns 1" and not ran.exists()
            client.protocol.notify("foretrace/trust", {"trusted": True})
            client.save(uri)

            async def confirmed():
                return (await client.labels(uri)).get(2) == "returns 1 ✓"

            await client.until(confirmed)
            assert ran.exists()

    run(work())


NOTEBOOK = types.NotebookDocument(
    uri="file:///book.ipynb",
    notebook_type="jupyter-notebook",
    version=1,
    cells=[
        types.NotebookCell(types.NotebookCellKind.Markup, "vscode-notebook-cell:/book.ipynb#m"),
        types.NotebookCell(types.NotebookCellKind.Code, "vscode-notebook-cell:/book.ipynb#a"),
        types.NotebookCell(types.NotebookCellKind.Code, "vscode-notebook-cell:/book.ipynb#b"),
    ],
)
CELL_A = "%matplotlib inline\nimport math\nFACTOR = 3"
CELL_B = "# foretrace: scaled(2)\ndef scaled(n):\n    result = n * FACTOR\n    return result"


def test_the_cells_of_a_notebook_are_one_module(runtime, model):
    a, b = NOTEBOOK.cells[1].document, NOTEBOOK.cells[2].document

    async def work():
        async with editor(model, runtime) as client:
            texts = [types.TextDocumentItem(a, "python", 1, CELL_A), types.TextDocumentItem(b, "python", 1, CELL_B)]
            client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(NOTEBOOK, texts))

            async def shown():
                return (await client.labels(b)).get(3) == "returns 6"

            await client.until(shown)
            assert await client.labels(a) == {}
            assert (await client.labels(b))[2] == "result = 6"
            lens = (await client.lenses(b))[0]
            assert lens.range.start.line == 1
            assert lens.command.arguments == ({"uri": NOTEBOOK.uri, "function": "scaled"},)
            assert await client.lenses(a) == []
            assert (await client.run("check", **lens.command.arguments[0]))["status"] == "confirmed"
            assert (await client.labels(b))[3] == "returns 6 ✓"
            # An edit in the other cell changes what this one is predicted as.
            change = types.NotebookDocumentCellContentChanges(
                types.VersionedTextDocumentIdentifier(2, a),
                [types.TextDocumentContentChangePartial(types.Range(types.Position(2, 9), types.Position(2, 10)), "5")],
            )
            client.notebook_document_did_change(
                types.DidChangeNotebookDocumentParams(
                    types.VersionedNotebookDocumentIdentifier(2, NOTEBOOK.uri),
                    types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(text_content=[change])),
                )
            )

            async def anew():
                return (await client.labels(b)).get(3) == "returns 10"

            await client.until(anew)
            client.notebook_document_did_close(
                types.DidCloseNotebookDocumentParams(
                    types.NotebookDocumentIdentifier(NOTEBOOK.uri),
                    [types.TextDocumentIdentifier(a), types.TextDocumentIdentifier(b)],
                )
            )
            assert await client.labels(b) == {}

    run(work())


EMOJI = "# foretrace: smile('🙂')\ndef smile(x):\n    y = '🙂🙂' + x\n    return y"
EXPECTED = {"utf-8": 22, "utf-16": 18, "utf-32": 16}


@pytest.mark.parametrize("encoding", EXPECTED)
def test_columns_in_every_encoding(runtime, model, tmp_path, encoding):
    uri = write(tmp_path, EMOJI, "smile.py")
    capabilities = types.ClientCapabilities(general=types.GeneralClientCapabilities(position_encodings=[encoding]))

    async def work():
        async with editor(model, runtime, capabilities=capabilities) as client:
            assert client.server_capabilities.position_encoding == encoding
            client.open(uri, EMOJI)
            await predicted(client, uri, "smile")
            hints = {hint.position.line: hint for hint in await client.hints(uri)}
            assert hints[2].position.character == EXPECTED[encoding]
            # An edit behind the emoji arrives where it is meant.
            column = EXPECTED[encoding]
            client.edit(uri, 2, (2, column - 1), (2, column), "(x + x)")
            await predicted(client, uri, "smile")
            assert (await client.labels(uri))[3] == "returns '🙂🙂🙂🙂'"

    run(work())


def test_folders_have_settings_and_interpreters_of_their_own(runtime, model, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    uri = write(one, TOTAL)
    write(two, TOTAL)

    async def work():
        async with editor(model, runtime, folders=[one, two]) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            assert (await client.request("status")).interpreter.source == "PATH"
            await client.until(lambda: client.told.get(types.CLIENT_REGISTER_CAPABILITY))
            environment = one / ".venv"
            (environment / "bin").mkdir(parents=True)
            (environment / "bin" / "python").symlink_to("/usr/bin/python3")
            (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.99.1\n")
            event = types.FileEvent((environment / "pyvenv.cfg").as_uri(), types.FileChangeType.Created)
            client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
            found = await client.until(
                lambda: [s for s in client.told["foretrace/status"] if s.interpreter.source == ".venv"]
            )
            assert found[-1].interpreter.version == "3.99.1"
            client.protocol.notify("foretrace/interpreter", {"path": "/no/such/python"})
            with pytest.raises(JsonRpcException, match="There is no Python at /no/such/python"):
                await client.run("check", uri=uri, function="total")
            event = types.WorkspaceFoldersChangeEvent([], [types.WorkspaceFolder(two.as_uri(), "two")])
            client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
            assert (await client.request("status")).interpreter.source == "editor"

    run(work())


def test_status_tells_of_the_model(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            assert (await client.request("status")).state == "stopped"
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            status = await client.until(lambda: [s for s in client.told["foretrace/status"] if s.state == "ready"])
            assert (status[-1].model.name, status[-1].device) == ("stand-in", "nothing")
            await client.run("restart")
            await client.until(lambda: client.told["foretrace/status"][-1].state in ("stopped", "ready"))
            # A model that does not exist.
            client.settings = {"model": str(tmp_path / "none.gguf")}
            client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            client.edit(uri, 2, (5, 13), (5, 14), "7")
            await client.until(lambda: client.messages)
            assert "none.gguf cannot be read" in client.messages[-1]
            assert (await client.request("status")).state == "failed"

    run(work())


def test_a_session_without_any_capability(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime, capabilities=types.ClientCapabilities()) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            assert len(await client.hints(uri, WHOLE)) == 10
            assert (await client.run("check", uri=uri, function="total"))["status"] == "confirmed"
            client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
            assert await client.hints(uri) == []
            await client.until(lambda: client.diagnostics(uri) == [])

    run(work())
