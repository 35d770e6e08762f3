"""`foretrace model convert`: a Hugging Face checkpoint becomes a GGUF, and a few lines say what was made."""

from __future__ import annotations

import shlex
from pathlib import Path

from foretrace.model.files import bytes_bar, new_file
from foretrace.models import checkpoints_folder
from foretrace.session import Exit
from quant.convert import Conversion, convert
from quant.errors import ModelError
from quant.sizes import spelled_size


def convert_checkpoint(checkpoint: Path, out: Path, dtype: str, force: bool) -> int:
    """Convert the checkpoint, a folder or the OWNER/NAME of a pulled one, to the GGUF `out`; the exit code.

    `dtype`, how its matrices are stored, is bf16, f16 or f32. Raises ModelError and UsageError, and then leaves nothing
    behind.
    """
    folder = _existing(checkpoint)
    with new_file(out, force=force) as part, bytes_bar(f"Writing {out.name}") as show:
        conversion = convert(folder, part, dtype=dtype, repository=_repository(folder), on_progress=show)
    print(_summary(conversion, out, dtype))
    return Exit.CONFIRMED


def _existing(checkpoint: Path) -> Path:
    if checkpoint.is_dir():
        return checkpoint
    if checkpoint.exists():
        raise ModelError(f"{checkpoint} is a file; give the folder that config.json and the safetensors files lie in.")
    # `foretrace model pull` puts OWNER/NAME there.
    pulled = checkpoints_folder() / "--".join(checkpoint.parts)
    if pulled.is_dir():
        return pulled
    raise ModelError(
        f"There is no folder {checkpoint}; give that of a Hugging Face checkpoint, or the OWNER/NAME of one that "
        "`foretrace model pull OWNER/NAME` has brought."
    )


def _repository(folder: Path) -> str:
    """Where a pulled checkpoint came from, as OWNER/NAME; '' for another."""
    owner, separator, name = folder.resolve().name.partition("--")
    pulled = separator and folder.resolve().parent == checkpoints_folder().resolve()
    return f"{owner}/{name}" if pulled else ""


def _summary(conversion: Conversion, out: Path, dtype: str) -> str:
    """What was made, what was assumed, and what to do next."""
    shape = conversion.shape
    licence = conversion.licence or "not stated by the checkpoint"
    lines = [
        f"{out}  {spelled_size(conversion.size)}, {dtype}",
        f"  {conversion.name}, licence: {licence}",
        f"  {_count(shape.parameters)} parameters, {shape.layers} layers of {shape.hidden}, "
        f"vocabulary {shape.vocabulary:,}",
        f"  context {shape.context:,} tokens; {sum(shape.windowed)} of {shape.layers} layers see only the last "
        f"{shape.window:,}",
    ]
    if conversion.rounded:
        lines.append(f"  {conversion.rounded:,} of {shape.parameters:,} weights were rounded to {dtype}")
    else:
        lines.append("  every weight is exactly the checkpoint's")
    lines += [f"  assumed: {sentence}" for sentence in conversion.assumptions]
    small = out.with_name(f"{out.stem}-Q4_K_M.gguf")
    lines.append(f"Next: {shlex.join(['foretrace', 'model', 'quantize', str(out), str(small)])}")
    return "\n".join(lines)


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"
