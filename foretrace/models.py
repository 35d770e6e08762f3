"""Finds the model that predicts: the bundled nano, a GGUF by path, one installed by name, or one elsewhere."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs

from quant.address import is_address, spelled_address
from quant.errors import ModelError

BUNDLED = "nano"
"""The name of the model that comes with the package."""
VARIABLE = "FORETRACE_MODEL"
"""The environment variable that chooses a model where the command line does not."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF on this machine."""

    name: str
    """What a person calls it."""
    path: Path


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a `llama-server` has loaded, here or elsewhere."""

    name: str
    """The address as a person reads it."""
    path: str
    """The address."""


def find_predictor(wanted: str | None = None) -> ModelFile | ServedModel:
    """The model for `wanted`, as `find_model` finds it, or for the address of a server. Nothing is asked of that yet.

    Raises ModelError.
    """
    variable = os.environ.get(VARIABLE, "")
    if not is_address(wanted or variable):
        return find_model(wanted)
    try:
        address = spelled_address(wanted or variable)
    except ModelError as error:
        raise ModelError(str(error) if wanted else f"{error} That is what {VARIABLE} asks for.") from None
    return ServedModel(address.partition("//")[2], address)


def find_model(wanted: str | None = None) -> ModelFile:
    """The model for `wanted`, a path or a name; without it that of `FORETRACE_MODEL`, else the bundled one.

    Raises ModelError where there is no such file. Whether it is a model shows only when it is loaded.
    """
    if not wanted and os.environ.get(VARIABLE):
        try:
            return find_model(os.environ[VARIABLE])
        except ModelError as error:
            raise ModelError(f"{error} That is what {VARIABLE} asks for.") from error
    wanted = wanted or BUNDLED
    if is_address(wanted):
        raise ModelError(f"{wanted} is a model elsewhere, which only predicts; give a GGUF on this machine.")
    if wanted == BUNDLED:
        return _existing(ModelFile(BUNDLED, bundled_path()), "The bundled model is missing; reinstall foretrace.")
    if "://" in wanted:
        raise ModelError(f"{wanted} is no address of a llama-server; those begin with http:// or https://.")
    if _looks_like_path(wanted):
        path = Path(wanted).expanduser()
        if not path.exists() and path.name == wanted and path.stem in installed():
            path = models_folder() / wanted
        return _existing(ModelFile(path.stem, path), _no_such_file(path))
    return _existing(ModelFile(wanted, models_folder() / f"{wanted}.gguf"), _no_such_name(wanted))


def installed() -> list[str]:
    """Names of the models in the user's model folder. Raises ModelError where it cannot be read."""
    try:
        return sorted(path.stem for path in models_folder().glob("*.gguf") if path.is_file())
    except OSError as error:
        raise ModelError(f"{models_folder()} cannot be read ({error.strerror}); make it readable.") from error


def models_folder() -> Path:
    """Where models installed by name lie."""
    return platformdirs.user_data_path("foretrace", appauthor=False) / "models"


def checkpoints_folder() -> Path:
    """Where pulled checkpoints lie, each in a folder of its own, to be converted."""
    return models_folder() / "checkpoints"


def unfinished_folder() -> Path:
    """Where what is being pulled gathers until it is whole."""
    return models_folder() / ".unfinished"


def bundled_path() -> Path:
    """Where the bundled model lies."""
    return Path(str(files("foretrace") / "data" / "nano.gguf"))


def _looks_like_path(wanted: str) -> bool:
    return wanted.endswith(".gguf") or any(separator in wanted for separator in ("/", os.sep)) or Path(wanted).is_file()


def _existing(model: ModelFile, complaint: str) -> ModelFile:
    if not model.path.is_file():
        raise ModelError(complaint)
    return model


def _no_such_file(path: Path) -> str:
    if (path / "config.json").is_file():
        return f"{path} is a checkpoint, not a GGUF; make one of it: foretrace model convert {path} OUT.gguf"
    if path.is_dir():
        return f"{path} is a folder; give the path of a GGUF."
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and path.suffix != ".gguf":
        return (
            f"There is no model file {path}. If it is a repository on the Hugging Face hub, get it first: "
            f"foretrace model pull {path}"
        )
    return f"There is no model file {path}; give the path of a GGUF."


def _no_such_name(wanted: str) -> str:
    if Path(wanted).is_dir():
        return _no_such_file(Path(wanted))
    if re.fullmatch(r"[\w.-]+:\d+", wanted):
        return f"There is no model called {wanted}; if that is where a llama-server is, write http://{wanted}."
    names = [BUNDLED, *installed()]
    known = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), known, n=1)
    meant = f"did you mean {known[near[0]]}? There is" if near else "there is"
    return f"There is no model called {wanted}; {meant} {', '.join(names)}, and a path to a GGUF may be given."
