"""What VS Code's manifest of the extension says of the settings is what the server does."""

from __future__ import annotations

import json
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from lsp_server.options import Options, camel_case, read_options

EXTENSION = Path(__file__).resolve().parents[2] / "editors" / "vscode"
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text("utf-8"))
PROPERTIES: dict[str, dict[str, Any]] = MANIFEST["contributes"]["configuration"]["properties"]
OPTIONS = {camel_case(each.name): each for each in fields(Options)}
OWN = {"serverCommand", "trace.server"}
"""Settings of the extension that the server does not read."""
RUNS_OR_LOADS = {"check", "interpreter", "model", "serverCommand"}
"""What runs something of the user's, or names a file to load."""
COMMANDS = {each["command"] for each in MANIFEST["contributes"]["commands"]}
TYPES = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list, "null": type(None)}


def test_settings_are_those_of_the_server():
    assert {name.removeprefix("foretrace.") for name in PROPERTIES} == OPTIONS.keys() | OWN


@pytest.mark.parametrize("name", OPTIONS)
def test_a_setting_has_the_default_of_the_server(name):
    default = OPTIONS[name].default
    assert PROPERTIES[f"foretrace.{name}"]["default"] == (default.value if isinstance(default, Enum) else default)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_setting_has_the_type_of_the_server(name):
    default, declared = OPTIONS[name].default, PROPERTIES[f"foretrace.{name}"]
    kinds = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    if isinstance(default, Enum):
        assert declared["enum"] == [each.value for each in type(default)]
        assert len(declared["enumDescriptions"]) == len(declared["enum"])
    else:
        assert isinstance(default, tuple(TYPES[kind] for kind in kinds))


@pytest.mark.parametrize("name", OPTIONS)
def test_the_server_takes_what_the_editor_allows_and_no_more(name):
    declared = PROPERTIES[f"foretrace.{name}"]
    step = 1 if "integer" in declared["type"] else 0.001
    for value in declared.get("enum", []):
        assert read_options({name: value})[1] == []
    for bound, outwards in (("minimum", -step), ("maximum", step)):
        if bound in declared:
            assert read_options({name: declared[bound]})[1] == []
            assert read_options({name: declared[bound] + outwards})[1] != []


def test_what_the_server_limits_the_editor_limits_too():
    numbers = [each for name, each in PROPERTIES.items() if name.removeprefix("foretrace.") in OPTIONS]
    for each in numbers:
        if "integer" in each["type"] or "number" in each["type"]:
            assert {"minimum", "maximum"} <= each.keys()


def test_an_untrusted_workspace_sets_nothing_that_runs_or_loads():
    untrusted = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    assert set(untrusted["restrictedConfigurations"]) == {f"foretrace.{name}" for name in RUNS_OR_LOADS}


def test_everything_is_described():
    for name, each in PROPERTIES.items():
        assert each["markdownDescription"].endswith((".", ").")), name
        assert "scope" in each, name


def test_keys_and_menus_name_commands_that_there_are():
    contributes = MANIFEST["contributes"]
    used = [each["command"] for each in contributes["keybindings"]]
    used += [each["command"] for menu in contributes["menus"].values() for each in menu if "command" in each]
    assert set(used) <= COMMANDS
    keys = [each["key"] for each in contributes["keybindings"]]
    assert len(set(keys)) == len(keys)


def test_commands_differ_from_those_that_the_client_makes_of_the_servers():
    from lsp_server.cli import create_server

    def find_model(wanted: str | None) -> Any:
        raise AssertionError

    server = create_server(find_model, "0")
    assert COMMANDS.isdisjoint(server.protocol.fm.commands)


def test_each_state_has_a_colour_for_each_kind_of_theme():
    from lsp_server.values import Look

    colors = {each["id"]: each["defaults"] for each in MANIFEST["contributes"]["colors"]}
    for look in Look:
        assert colors[f"foretrace.{look.value}Foreground"].keys() == {
            "dark",
            "light",
            "highContrast",
            "highContrastLight",
        }


def test_the_walkthrough_names_commands_that_there_are():
    steps = [step for each in MANIFEST["contributes"]["walkthroughs"] for step in each["steps"]]
    named = {part.split(")")[0] for step in steps for part in step["description"].split("(command:")[1:]}
    assert named and named <= COMMANDS


def test_the_extension_has_the_version_of_the_package():
    from foretrace import __version__

    assert MANIFEST["version"] == __version__
