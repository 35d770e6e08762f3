"""A checkpoint of nano in as few bytes as the four bits of its weights take, to carry it to a GPU and back.

    python -m nano.packed pack foretrace/data/nano.gguf PACK        or a checkpoint that was trained with --rounded-from
    python -m nano.packed unpack PACK CHECKPOINT

Matrices are rounded to Q4_0's grid, which changes nothing where they lie on it, except for the head, which is
bfloat16, as the rest is. PACK gets files of at most 15 MB.
"""

from __future__ import annotations

import argparse
import io
import json
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gguf import GGUFReader
from numpy.typing import NDArray
from transformers import CwmConfig, CwmForCausalLM

from nano.base import copy_beside_weights, nano_model, write_tokenizer
from nano.rounding import is_rounded, steps_and_scales
from nano.tokenizer import smollm2_path, trimmed_vocabulary

PART = 15_000_000


def packed(model: Any) -> bytes:
    """The weights of a `CwmForCausalLM`, and its configuration."""
    arrays: dict[str, NDArray[Any]] = {"config": np.array(json.dumps(model.config.to_dict()))}
    for name, weight in model.state_dict().items():
        if is_rounded(name, weight):
            steps, scales = steps_and_scales(weight.float())
            halves = (steps + 8).to(torch.uint8).numpy().reshape(-1, 2)
            arrays[f"steps {name}"] = halves[:, 0] | halves[:, 1] << 4
            arrays[f"scales {name}"] = scales.half().numpy()
        else:
            # Signs and exponents are much the same all over, the other bytes are not: apart they take less.
            whole = weight.bfloat16().contiguous().view(torch.int16).numpy()
            arrays[f"whole {name}"] = np.ascontiguousarray(whole.view(np.uint8).reshape(-1, 2).T)
    buffer = io.BytesIO()
    np.savez(buffer, **cast("Any", arrays))
    # Numbers that look random repeat nothing: Huffman codes are all that helps.
    coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return coder.compress(buffer.getbuffer()) + coder.flush()


def unpacked(data: bytes) -> CwmForCausalLM:
    """The model again, float32."""
    with np.load(io.BytesIO(zlib.decompress(data))) as arrays:
        model: Any = CwmForCausalLM(CwmConfig(**json.loads(str(arrays["config"]))))
        state: dict[str, torch.Tensor] = {}
        for name, like in model.state_dict().items():
            if f"whole {name}" in arrays:
                whole = np.ascontiguousarray(arrays[f"whole {name}"].T)
                weight = torch.from_numpy(whole.view(np.int16)).view(torch.bfloat16).float()
            else:
                pairs = arrays[f"steps {name}"]
                steps = torch.from_numpy(np.stack([pairs & 15, pairs >> 4], axis=1)).float() - 8
                scales = torch.from_numpy(arrays[f"scales {name}"]).float()
                weight = steps.view(len(scales), -1) * scales
            state[name] = weight.view(like.shape)
    model.load_state_dict(state)
    return model


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path, help="a GGUF of nano or a checkpoint; or what `pack` has written")
    parser.add_argument("out", type=Path, help="a folder that does not exist yet, or is empty")
    options = parser.parse_args()
    source: Path = options.source
    parts = sorted(source.glob("weights.*"))
    if options.what == "unpack" and not parts:
        parser.error(f"{source} holds no weights; `nano.packed pack` writes them")
    if options.what == "pack" and not (source.is_file() or (source / "config.json").exists()):
        parser.error(f"{source} is neither a GGUF nor a checkpoint of nano; nano.base and nano.train make those")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    options.out.mkdir(parents=True, exist_ok=True)
    data = b""
    try:
        if options.what == "unpack":
            cast("Any", unpacked(b"".join(part.read_bytes() for part in parts))).save_pretrained(options.out)
        elif source.is_dir():
            data = packed(CwmForCausalLM.from_pretrained(source))
        else:
            vocabulary = trimmed_vocabulary(GGUFReader(str(smollm2_path())))
            data = packed(nano_model(GGUFReader(str(source)), vocabulary))
            write_tokenizer(vocabulary, options.out)
    except (OSError, ValueError, zlib.error) as error:
        parser.error(f"{source} cannot be read: {error}")
    copy_beside_weights(source, options.out)
    if options.what == "pack":
        for number, start in enumerate(range(0, len(data), PART)):
            (options.out / f"weights.{number}").write_bytes(data[start : start + PART])
        print(f"{len(data) / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
