"""Finds the model that predicts: the bundled nano, a GGUF by path, or one installed by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs

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


def find_model(wanted: str | None = None) -> ModelFile:
    """The model for `wanted`, a path or a name; without it that of `FORETRACE_MODEL`, else the bundled one.

    Raises ModelError where there is no such file. Whether it is a model shows only when it is loaded.
    """
    wanted = wanted or os.environ.get(VARIABLE) or BUNDLED
    if wanted == BUNDLED:
        return _existing(ModelFile(BUNDLED, bundled_path()), "The bundled model is missing; reinstall foretrace")
    if _looks_like_path(wanted):
        path = Path(wanted).expanduser()
        return _existing(ModelFile(path.stem, path), f"There is no model file {path}; give the path of a GGUF")
    names = ", ".join([BUNDLED, *installed()])
    hint = f"There is no model called {wanted}; there is {names}, and a path to a GGUF may be given"
    return _existing(ModelFile(wanted, models_folder() / f"{wanted}.gguf"), hint)


def installed() -> list[str]:
    """Names of the models in the user's model folder."""
    return sorted(path.stem for path in models_folder().glob("*.gguf"))


def models_folder() -> Path:
    """Where models installed by name lie."""
    return platformdirs.user_data_path("foretrace", appauthor=False) / "models"


def bundled_path() -> Path:
    """Where the bundled model lies."""
    return Path(str(files("foretrace") / "data" / "nano.gguf"))


def _looks_like_path(wanted: str) -> bool:
    return wanted.endswith(".gguf") or any(separator in wanted for separator in ("/", os.sep)) or Path(wanted).is_file()


def _existing(model: ModelFile, complaint: str) -> ModelFile:
    if not model.path.is_file():
        raise ModelError(f"{complaint}.")
    return model
