"""The Neovim plugin in a real Neovim with a real server and real runs; the model is a stand-in, except at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from tests.editors.neovim import PLUGIN, ROOT, Neovim, neovim
from tests.lsp_server.conftest import model, no_process_is_left, runtime

__all__ = ["model", "no_process_is_left", "runtime"]

TOTAL = """\
# foretrace: total([1, 2, 3])
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result


def unknown(x):
    return x
"""
WRONG = TOTAL.replace("# foretrace", "# believes: += number -> += 2 * number\n# foretrace", 1)


@pytest.fixture(autouse=True)
def environment(runtime, tmp_path, monkeypatch):
    """Of a Neovim that has never been started before, without a virtual environment."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("FORETRACE_MODEL", raising=False)
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    (folder / "total.py").write_text(TOTAL)
    (folder / "wrong.py").write_text(WRONG)
    return folder


def until_predicted(editor: Neovim) -> None:
    editor.until_hint(6, "returns 6", "ForetracePredicted")


def test_values_come_by_themselves_and_follow_the_text(model, project):
    with neovim(project) as editor:
        editor.enable(model, idleDelay=50)
        editor.open(project / "total.py")
        until_predicted(editor)
        assert editor.hints() == {
            2: ["numbers = [1, 2, 3]", "ForetracePredicted"],
            3: ["result = 0", "ForetracePredicted"],
            4: ["number = 1 → 2 → 3", "ForetracePredicted"],
            5: ["result = 1 → 3 → 6", "ForetracePredicted"],
            6: ["returns 6", "ForetracePredicted"],
        }
        # They move with their lines, and an edit of the function makes them stale, until it is predicted again.
        editor.lua("vim.api.nvim_buf_set_lines(0, 0, 0, true, { '# one more line' })")
        editor.until_hint(7, "returns 6", "ForetracePredicted")
        editor.lua("""
            _G.seen = {}
            local set = vim.api.nvim_buf_set_extmark
            vim.api.nvim_buf_set_extmark = function(buffer, namespace, line, column, options)
              if namespace == require("foretrace.hints").namespace then
                table.insert(_G.seen, { line + 1, unpack(options.virt_text[2]) })
              end
              return set(buffer, namespace, line, column, options)
            end
        """)
        editor.lua("vim.api.nvim_buf_set_lines(0, 3, 4, true, { '    result = 10' })")
        assert 4 not in editor.hints()
        editor.until_hint(7, "returns 16", "ForetracePredicted")
        assert [7, "returns 6 ~", "ForetraceStale"] in editor.lua("return _G.seen")
        editor.command("undo")
        editor.until_hint(7, "returns 6", "ForetracePredicted")
        # Inlay hints of other servers do not bring foretrace's own a second time.
        assert editor.lua("return require('foretrace.server').client(0).server_capabilities.inlayHintProvider") is None
        assert editor.lua("return vim.fn.maparg('K', 'n')") != ""


def test_what_the_model_is_not_sure_of(model, project):
    with neovim(project) as editor:
        editor.enable(model, confidence=1)
        editor.open(project / "total.py")
        editor.until_hint(3, "result = 0 ?", "ForetraceUnsure")


def test_only_a_trusted_project_is_checked_on_saving(model, project):
    with neovim(project) as editor:
        editor.lua("require('foretrace').options.trusted = { ... }", str(project.parent))
        editor.enable(model, check="save")
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.lua("vim.api.nvim_buf_set_lines(0, 2, 3, true, { '    result = 10' })")
        editor.command("write")
        editor.until_hint(6, "returns 16 ✓", "ForetraceConfirmed")
        trusted = "local id, status = next(require('foretrace.server').statuses); return status.trusted"
        assert editor.lua(trusted) is True
    with neovim(project) as editor:
        editor.enable(model, check="save")
        editor.open(project / "total.py")
        editor.until_hint(6, "returns 16", "ForetracePredicted")
        assert editor.lua(trusted) is False


def test_a_check_confirms(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.put_cursor(5)
        editor.command("Foretrace check")
        editor.until_said("Confirmed: total([1, 2, 3])")
        editor.until_hint(5, "result = 1 → 3 → 6 ✓", "ForetraceConfirmed")
        editor.command("Foretrace values")
        text = editor.until(
            "the floating window",
            """
            for _, window in ipairs(vim.api.nvim_list_wins()) do
              if vim.api.nvim_win_get_config(window).relative ~= "" then
                local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false)
                return table.concat(lines, "\\n")
              end
            end
            """,
        )
        assert "confirmed by a real run" in text and "| 3 | `6` ✓ |" in text
        editor.command("write")  # a check takes what is on the disk
        editor.lua("vim.api.nvim_buf_set_lines(0, 2, 3, true, { '    result = 10' })")
        editor.command("Foretrace check")
        editor.until_said("Save total.py first")


def test_a_check_finds_a_divergence_and_the_view_shows_it(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "wrong.py")
        editor.until_hint(7, "returns 12", "ForetracePredicted")
        editor.put_cursor(6)
        editor.command("Foretrace view")
        editor.until("the view", "return vim.bo.filetype == 'foretrace' and vim.fn.search('returns 12', 'n') > 0")
        editor.command("Foretrace check")  # from within the view it is about the function that this shows
        editor.until_said(", the real run")
        lines = editor.until(
            "both runs in the view",
            """
            local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
            return vim.iter(lines):any(function(line) return line:find("actual", 1, true) end) and lines
            """,
        )
        assert "nano" not in lines[0] and "returned 12" in lines[0] and "returned 6" in lines[0]
        first = next(line for line in lines if line.startswith("▶"))
        assert "result = 2" in first and "result = 1" in first and "result += number" in first
        assert any(line.startswith("✓") for line in lines) and any(line.startswith("≠") for line in lines)
        # <CR> goes to the line of a row.
        editor.lua("vim.fn.cursor(vim.fn.search('^▶'), 1)")
        editor.lua("vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'mx', false)")
        assert editor.lua("return { vim.fn.expand('%:t'), vim.fn.line('.') }") == ["wrong.py", 6]
        editor.until_hint(6, "result = 2 ≠ 1 …", "ForetraceDiverged")
        found = editor.until("the diagnostic", "local all = vim.diagnostic.get(0); return #all > 0 and all")
        assert [each["lnum"] for each in found if each["code"] == "divergence"] == [5]


def test_turns_with_the_view_following(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.put_cursor(5)
        editor.command("Foretrace next")
        editor.until_said("total: turn 1 of 3")
        editor.until_hint(5, "result = 1", "ForetracePredicted")
        editor.command("Foretrace prev")
        editor.until_said("total: all 3 turns")
        editor.command("Foretrace view")
        editor.until("the view", "return vim.bo.filetype == 'foretrace' and vim.fn.search('returns 6', 'n') > 0")
        where = """
            local source = vim.fn.win_getid(vim.fn.bufwinnr('total.py'))
            local here = vim.api.nvim_get_current_line()
            return here:find(args[2], 1, true) and vim.api.nvim_win_get_cursor(source)[1] == 4
        """
        for turn, key in enumerate(["]i", "]i", "[i"]):
            editor.lua("vim.api.nvim_feedkeys(..., 'mx', false)", key)
            number = [1, 2, 1][turn]
            editor.until(f"turn {number} in both windows", where, f"number = {number}")
        editor.lua("vim.api.nvim_feedkeys('q', 'mx', false)")
        assert editor.lua("return #vim.api.nvim_list_wins()") == 1
        editor.until_hint(5, "result = 1", "ForetracePredicted")


def test_another_call_through_the_prompt(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.lua("""
            vim.ui.select = function(items, options, choose)
              _G.offered = vim.tbl_map(options.format_item, items)
              choose(items[#items])
            end
            vim.ui.input = function(options, write)
              _G.default = options.default
              write("total([20])")
            end
        """)
        editor.put_cursor(3)
        editor.command("Foretrace call")
        editor.until_hint(6, "returns 20", "ForetracePredicted")
        assert editor.lua("return { _G.offered, _G.default }") == [
            ["total([1, 2, 3])  (comment)", "Another call …"],
            "total([1, 2, 3])",
        ]
        editor.command("Foretrace call total([4, 5])")
        editor.until_hint(6, "returns 9", "ForetracePredicted")
        editor.command("Foretrace call total([")
        editor.until_said("total([")
        # A function that nobody calls: there is nothing to pick, so it is written at once.
        editor.put_cursor(9)
        editor.lua("vim.ui.input = function(options, write) _G.default = options.default; write('unknown(7)') end")
        editor.command("Foretrace call")
        editor.until_hint(10, "returns 7", "ForetracePredicted")


def test_lenses_run_with_the_same_messages(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.until(
            "the lenses",
            """
            local titles = vim.tbl_map(function(lens) return lens.command and lens.command.title end,
              vim.lsp.codelens.get(0))
            return vim.list_contains(titles, "Check against a real run")
              and vim.list_contains(titles, "All 3 turns ▶")
            """,
        )
        shown = """
            local marks = vim.api.nvim_buf_get_extmarks(0, -1, { 1, 0 }, { 1, -1 }, { details = true })
            for _, mark in ipairs(marks) do
              local texts = vim.tbl_map(function(chunk) return chunk[1] end, mark[4].virt_text or {})
              if vim.list_contains(texts, "Other call…") then return table.concat(texts) end
            end
        """
        line = "Predict total([1, 2, 3]) | Check against a real run | Other call… | All 3 turns ▶"
        editor.until("the lenses in their order", f"return (function() {shown} end)() == args[2]", line)
        editor.put_cursor(2)
        editor.lua("""
            vim.ui.select = function(items, options, choose)
              for _, item in ipairs(items) do
                if options.format_item(item):find("Check", 1, true) then choose(item) end
              end
            end
            vim.lsp.codelens.run()
        """)
        editor.until_said("Confirmed: total([1, 2, 3])")


def test_hints_are_switched_off_and_on(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editor.command("Foretrace toggle")
        editor.until("no hints", "return #hints() == 0")
        editor.command("Foretrace toggle")
        until_predicted(editor)
        status = editor.lua("return require('foretrace').status()")
        assert status == "stand-in on nothing: ready"


def test_another_colour_scheme_keeps_the_groups(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.command("highlight ForetraceUnsure guifg=#ff0000")
        editor.command("colorscheme habamax")
        for state in ("Predicted", "Confirmed", "Diverged", "Stale"):
            assert editor.lua("return vim.api.nvim_get_hl(0, { name = ... })", f"Foretrace{state}").get("link")


def test_the_host_is_killed(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        host = int(model.with_suffix(".loads").read_text().split()[-1])
        psutil.Process(host).kill()
        editor.put_cursor(3)
        editor.command("Foretrace call total([40])")
        editor.until_hint(6, "returns 40", "ForetracePredicted")
        assert int(model.with_suffix(".loads").read_text().split()[-1]) != host


def test_the_server_is_killed(model, project):
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        editors_processes = psutil.Process(editor.lua("return vim.fn.getpid()")).children()
        server = next(process for process in editors_processes if "tests.lsp_server.fake_server" in process.cmdline())
        server.kill()
        editor.until_said("the server has ended by signal 9. :Foretrace restart starts it again")
        assert editor.hints() == {}
        editor.command("Foretrace predict")
        editor.until_said(":Foretrace restart starts it, :Foretrace log says why")
        editor.command("Foretrace restart")
        until_predicted(editor)


def test_no_program(project, monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with neovim(project) as editor:
        editor.lua("vim.env.PATH = ...", str(empty))
        editor.lua('vim.lsp.enable("foretrace")')
        editor.open(project / "total.py")
        editor.until_said("Install it with `pip install foretrace`")
        editor.lua("_G.said = {}")
        editor.command("Foretrace check")
        editor.until_said("Install it with `pip install foretrace`")
        report = health(editor)
        assert "Install it with" in report and "ERROR" in report


def test_where_the_program_is_found(project, tmp_path):
    def program(folder: Path) -> str:
        (folder / "bin").mkdir(parents=True)
        path = folder / "bin" / "foretrace"
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    own, active, on_path = program(project / ".venv"), program(tmp_path / "active"), program(tmp_path / "usr")
    find = "local command, said = require('foretrace.server').find(...); return { command and command[1] or '', said }"
    with neovim(project) as editor:
        editor.lua("vim.env.PATH = ...", str(tmp_path / "nothing"))
        # What a folder brings along runs only where the user said so.
        found, said = editor.lua(find, str(project))
        assert found == "" and "trusted" in said and str(project) in said
        editor.lua("require('foretrace').options.trusted = { ... }", str(tmp_path))
        assert editor.lua(find, str(project)) == [own, "the project's .venv"]
        editor.lua("require('foretrace').options.trusted = false; vim.env.PATH = ...", str(Path(on_path).parent))
        assert editor.lua(find, str(project)) == [on_path, "the path"]
        editor.lua("vim.env.VIRTUAL_ENV = ...", str(tmp_path / "active"))
        assert editor.lua(find, str(project)) == [active, "$VIRTUAL_ENV"]
        editor.lua("vim.lsp.config('foretrace', { cmd = { 'no-such-program' } })")
        assert "no-such-program" in editor.lua(find, str(project))[1]


def test_trust_holds_for_folders_and_all_below(project, tmp_path):
    trusts = "local root, trusted = ...; return require('foretrace.server').is_trusted(root, trusted)"
    with neovim(project) as editor:
        assert editor.lua(trusts, str(project), [str(tmp_path)])
        assert editor.lua(trusts, str(project), [str(project) + "/"])
        assert not editor.lua(trusts, str(project), [str(project)[:-1]])
        assert not editor.lua(trusts, str(project), [])
        assert editor.lua(trusts, str(project), True)


def test_another_model_and_the_log(model, project):
    other = model.with_name("other.gguf")
    other.write_text("another stand-in\n")
    with neovim(project) as editor:
        editor.command("Foretrace log")
        editor.until_said("is empty: nothing went wrong so far")
        editor.enable(model)
        editor.open(project / "total.py")
        until_predicted(editor)
        assert not other.with_suffix(".asked").exists()
        editor.command(f"Foretrace model {other}")
        editor.until_said("predicts from now on")
        editor.until("its prediction", "return vim.uv.fs_stat(args[2]) ~= nil", str(other.with_suffix(".asked")))
        editor.command("Foretrace model")  # the stand-in's command lists none
        editor.until_said("name one, as in :Foretrace model nano")
        editor.lua("vim.lsp.log.error('something went wrong')")
        editor.command("Foretrace log")
        assert "something went wrong" in editor.lua("return vim.api.nvim_get_current_line()")


def test_a_broken_model_is_said(model, project):
    model.write_text("broken\n")
    with neovim(project) as editor:
        editor.enable(model)
        editor.open(project / "total.py")
        editor.until("the server", "return require('foretrace.server').client(0) ~= nil")
        editor.put_cursor(3)
        editor.command("Foretrace predict")
        editor.until_said("is broken")
        editor.until("the status", "return require('foretrace').status():find('failed', 1, true)")


def test_messages_say_what_to_do(model, project):
    with neovim(project) as editor:
        editor.command("Foretrace")
        editor.until_said("it takes one of call, cancel, check, log, model, next, predict")
        editor.command("Foretrace chek")
        editor.until_said('there is no "chek"')
        editor.command("Foretrace check")
        editor.until_said("no Python file")
        editor.lua("vim.lsp.config('foretrace', { cmd = { 'true' } })")
        editor.open(project / "total.py")
        editor.command("Foretrace check")
        editor.until_said('put vim.lsp.enable("foretrace") into your init.lua')
        editor.enable(model)
        until_predicted(editor)
        editor.put_cursor(8)
        editor.command("Foretrace check")
        editor.until_said("Line 8 is outside any function")
        editor.command("Foretrace view")
        editor.until_said("line 8 is outside any function")
        complete = "return vim.fn.getcompletion('Foretrace ' .. ..., 'cmdline')"
        assert editor.lua(complete, "p") == ["predict", "prev"]
        assert "check" in editor.lua(complete, "")
        with pytest.raises(Exception, match="there is no option"):
            editor.lua("require('foretrace').setup({ colour = 'red' })")


def health(editor: Neovim) -> str:
    editor.command("checkhealth foretrace")
    return "\n".join(editor.lua("return vim.api.nvim_buf_get_lines(0, 0, -1, false)"))


def test_help_tags(project, tmp_path):
    shutil.copytree(PLUGIN / "doc", tmp_path / "doc")
    with neovim(project) as editor:
        editor.command(f"helptags {tmp_path / 'doc'}")
        tags = (tmp_path / "doc" / "tags").read_text()
        editor.lua("vim.opt.runtimepath:prepend(...)", str(tmp_path))
        for option in editor.lua("return vim.tbl_keys(require('foretrace').highlights)"):
            assert f"hl-{option}\t" in tags
        for command in editor.lua("return vim.fn.getcompletion('Foretrace ', 'cmdline')"):
            assert f":Foretrace-{command}\t" in tags
        editor.command("help foretrace-find")


def test_the_whole_path_with_the_bundled_model(project):
    with neovim(project) as editor:
        editor.enable(None)
        editor.open(ROOT / "examples" / "total.py")
        editor.until("a value", "return #hints() > 0")
        editor.put_cursor(8)
        editor.command("Foretrace check")
        editor.until(
            "the outcome",
            """
            return vim.iter(_G.said):any(function(each)
              return each:find("Confirmed", 1, true) or each:find(", the real run", 1, true)
            end)
            """,
        )
        editor.until(
            "its colour",
            """
            return vim.iter(hints()):any(function(hint)
              return vim.list_contains({ "ForetraceConfirmed", "ForetraceDiverged" }, hint[3])
            end)
            """,
        )
        report = health(editor)
        assert "The server runs for" in report and "nano on CPU" in report
