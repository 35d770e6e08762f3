"""What a user can set, with every default; what cannot be used is said, and the default is taken.

Editors send the same names, as `foretrace.predict`. Whether a workspace is trusted is no setting: a workspace could set
it for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any, cast

SECTION = "foretrace"


class When(str, Enum):
    """When a function is predicted unasked."""

    IDLE = "idle"
    """When a file is opened or saved, and when the user pauses typing."""
    SAVE = "save"
    """When a file is opened or saved."""
    MANUAL = "manual"
    """Never."""


class Check(str, Enum):
    """When the real run is made, which executes the user's code."""

    COMMAND = "command"
    SAVE = "save"
    """Also when a file is saved, in trusted workspaces only."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of one folder of the workspace, or of what belongs to none."""

    hints: bool = True
    """Show values behind the lines."""
    predict: When = When.IDLE
    check: Check = Check.COMMAND
    model: str = ""
    """A GGUF by path or name, or the address of a llama-server; empty: `FORETRACE_MODEL`, else nano."""
    context: int | None = None
    """Tokens of context; none: what fits."""
    interpreter: str = ""
    """The Python of real runs; empty: the workspace's own."""
    idle_delay: int = 600
    """Milliseconds without typing that make a pause."""
    functions: int = 8
    """So many functions of a document are predicted unasked at most."""
    max_frames: int = 300
    """Steps of a prediction."""
    timeout: float = 10.0
    """Seconds of a real run."""
    confidence: float = 0.5
    """Values that the model is less sure of than this look unsure."""
    value_length: int = 40
    """Characters of a value in a hint."""
    diagnostics: bool = True
    """Report where runs part and what is expected to raise."""
    dim_unreached: bool = True
    """Dim the lines that a call does not reach."""
    host_idle_minutes: float = 10.0
    """A model that nobody has asked anything for so long is unloaded."""


def read_options(settings: object) -> tuple[Options, list[str]]:
    """The options that settings spell, and a sentence for each that cannot be used.

    Settings are a JSON object with the names in camel case; names that are not known are let pass, since editors
    have settings of their own.
    """
    if settings is None:
        return Options(), []
    if not isinstance(settings, Mapping):
        return Options(), [f"The settings of {SECTION} are {_shown(settings)}, which is no object."]
    given = cast("Mapping[str, object]", settings)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for each in fields(Options):
        name = camel_case(each.name)
        value = given.get(name, MISSING)
        if value is MISSING or value is None:
            continue
        read, wanted = _READERS[each.name]
        try:
            values[each.name] = read(value)
        except (ValueError, TypeError):
            default = each.default.value if isinstance(each.default, Enum) else each.default
            problems.append(f"{SECTION}.{name} is {_shown(value)}, but has to be {wanted}; {_shown(default)} is used.")
    return Options(**values), problems


def camel_case(name: str) -> str:
    """`max_frames` as editors spell it."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _shown(value: object) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
            raise TypeError
        if not least <= value <= most:
            raise ValueError
        return int(value)

    return read


def _number(least: float, most: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError
        if not least <= value <= most:
            raise ValueError
        return float(value)

    return read


def _one_of(kind: type[Enum]) -> tuple[Callable[[object], Enum], str]:
    return kind, "one of " + ", ".join(f'"{each.value}"' for each in kind)


def _between(least: float, most: float, *, whole: bool = True) -> tuple[Callable[[object], Any], str]:
    read = _whole(int(least), int(most)) if whole else _number(least, most)
    return read, f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"


_SWITCH = (_boolean, "true or false")
_STRING = (_text, "a text")
_READERS: dict[str, tuple[Callable[[object], Any], str]] = {
    "hints": _SWITCH,
    "predict": _one_of(When),
    "check": _one_of(Check),
    "model": _STRING,
    "context": _between(256, 1_000_000),
    "interpreter": _STRING,
    "idle_delay": _between(50, 60_000),
    "functions": _between(0, 1000),
    "max_frames": _between(1, 100_000),
    "timeout": _between(0.1, 86_400, whole=False),
    "confidence": _between(0, 1, whole=False),
    "value_length": _between(4, 10_000),
    "diagnostics": _SWITCH,
    "dim_unreached": _SWITCH,
    "host_idle_minutes": _between(0.01, 100_000, whole=False),
}
