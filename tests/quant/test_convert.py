"""What a GGUF holds is what the checkpoint held, in little memory, or there is a sentence that says why not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import CwmForCausalLM

from quant import convert as converting
from quant.convert import convert
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.runtime import Runtime
from quant.shape import shape_of_gguf
from tests.checkpoints import as_older_spelling, change_json, change_tensors, hollow_cwm, shard
from tests.data import cwm_samples

ROOT = Path(__file__).parents[2]
K = "model.layers.1.self_attn.k_proj.weight"
DOWN = "model.layers.0.mlp.down_proj.weight"
MATRICES = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.layers.0.mlp.down_proj": "blk.0.ffn_down"}
VECTORS = {
    "model.norm": "output_norm",
    "model.layers.1.input_layernorm": "blk.1.attn_norm",
    "model.layers.1.post_attention_layernorm": "blk.1.ffn_norm",
}


def contents(path: Path) -> dict[str, NDArray[Any]]:
    """A GGUF's tensors by name, as they are stored."""
    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(str(path)).tensors}


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float32], ids=["bf16", "f16", "f32"])
@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32"])
def test_every_weight_is_the_checkpoints_or_the_nearest(checkpoint: Path, stored: torch.dtype, dtype: str):
    wanted = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[dtype]

    def prepare(found: dict[str, torch.Tensor]) -> None:
        for name in found:
            found[name] = found[name].to(stored)
        # Ties, the smallest and the largest numbers.
        found[DOWN].view(-1)[:8] = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 2**-24, 2**-25, -65280.0, 0.1, -0.0, 1e-30])

    change_tensors(checkpoint, prepare)
    source = load_file(checkpoint / "model.safetensors")
    conversion = convert(checkpoint, checkpoint / "m.gguf", dtype=dtype)
    found = contents(checkpoint / "m.gguf")
    for theirs, ours in MATRICES.items():
        expected = source[f"{theirs}.weight"].to(wanted)
        assert torch.equal(torch.from_numpy(found[f"{ours}.weight"]).view(wanted), expected)
    for theirs, ours in VECTORS.items():
        assert torch.equal(torch.from_numpy(found[f"{ours}.weight"]), source[f"{theirs}.weight"].float())
    matrices = [weight for weight in source.values() if weight.dim() == 2]
    rounded = sum(int((weight.to(wanted).float() != weight.float()).sum()) for weight in matrices)
    assert conversion.rounded == rounded
    assert (rounded == 0) == (stored == wanted or wanted == torch.float32)


def test_rows_of_keys_interleave_the_halves_that_rotate_together(checkpoint: Path):
    convert(checkpoint, checkpoint / "m.gguf", dtype="f32")
    theirs = load_file(checkpoint / "model.safetensors")[K].numpy()
    ours = contents(checkpoint / "m.gguf")["blk.1.attn_k.weight"]
    for head in range(2):
        start = head * 32
        assert np.array_equal(ours[start : start + 32 : 2], theirs[start : start + 16])
        assert np.array_equal(ours[start + 1 : start + 32 : 2], theirs[start + 16 : start + 32])


def test_small_chunks_shards_and_older_spellings_make_the_same_file(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    out = checkpoint.parent
    convert(checkpoint, out / "whole.gguf", dtype="f16")
    whole = (out / "whole.gguf").read_bytes()
    monkeypatch.setattr(converting, "CHUNK_BYTES", 1000)
    seen: list[tuple[int, int]] = []
    convert(checkpoint, out / "chunks.gguf", dtype="f16", on_progress=lambda done, total: seen.append((done, total)))
    assert (out / "chunks.gguf").read_bytes() == whole
    assert len(seen) > 100 and seen == sorted(seen) and seen[-1][0] == seen[-1][1]
    shard(checkpoint, 3)
    as_older_spelling(checkpoint)
    convert(checkpoint, out / "shards.gguf", dtype="f16")
    assert (out / "shards.gguf").read_bytes() == whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [DOWN, "model.norm.weight"])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_weights_that_are_not_finite_are_refused(checkpoint: Path, name: str, value: float, stored: torch.dtype):
    def change(found: dict[str, torch.Tensor]) -> None:
        found[name] = found[name].to(stored)
        found[name].view(-1)[-1] = value

    change_tensors(checkpoint, change)
    for dtype in ("bf16", "f16", "f32"):
        with pytest.raises(ModelError, match=f"not finite, in {name}"):
            convert(checkpoint, checkpoint / "m.gguf", dtype=dtype)


@pytest.mark.parametrize(("value", "dtype"), [(65536.0, "f16"), (-1e30, "f16"), (3.4e38, "bf16")])
def test_weights_too_large_for_the_kind_of_numbers_are_refused(checkpoint: Path, value: float, dtype: str):
    change_tensors(checkpoint, lambda found: found[DOWN].view(-1)[-1:].fill_(value))
    other = {"f16": "convert to bf16 or f32", "bf16": "convert to f32"}[dtype]
    with pytest.raises(ModelError, match=f"beyond .*, in {DOWN}; {other}"):
        convert(checkpoint, checkpoint / "m.gguf", dtype=dtype)
    convert(checkpoint, checkpoint / "m.gguf", dtype="f32")


def test_a_tied_head_is_written_from_the_embeddings(checkpoint: Path):
    change_tensors(checkpoint, lambda found: found.pop("lm_head.weight"))
    with pytest.raises(ModelError, match="lacks the tensor lm_head"):
        convert(checkpoint, checkpoint / "m.gguf")
    change_json(checkpoint / "config.json", tie_word_embeddings=True)
    convert(checkpoint, checkpoint / "m.gguf", dtype="f32")
    found = contents(checkpoint / "m.gguf")
    assert np.array_equal(found["output.weight"], found["token_embd.weight"])


def test_the_file_says_what_it_is_and_where_it_comes_from(checkpoint: Path):
    (checkpoint / "README.md").write_text(
        "---\nlicense: other\nlicense_name: cwm\nlicense_link: LICENSE\nbase_model:\n- owner/larger\n- own\n---\n"
    )
    conversion = convert(checkpoint, checkpoint / "m.gguf", dtype="bf16", repository="facebook/cwm")
    file = read_gguf(checkpoint / "m.gguf")
    assert (conversion.name, conversion.licence, conversion.size) == ("cwm", "cwm", file.size)
    assert shape_of_gguf(file) == conversion.shape
    assert file.quantization == "BF16"
    expected = {
        "general.architecture": "granite_swa",
        "general.name": "cwm",
        "general.license": "other",
        "general.license.name": "cwm",
        "general.license.link": "LICENSE",
        "general.source.repo_url": "https://huggingface.co/facebook/cwm",
        "general.base_model.count": 2,
        "general.base_model.0.name": "larger",
        "general.base_model.0.organization": "owner",
        "general.base_model.0.repo_url": "https://huggingface.co/owner/larger",
        "general.base_model.1.name": "own",
        "foretrace.format_version": 1,
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: file.metadata.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "card", ["---\nlicense: [\n---\n", "---\nlicense: 3\nbase_model: 7\n---\n", "# no front matter", "\xff"]
)
def test_a_card_that_says_nothing_readable_does_no_harm(checkpoint: Path, card: str):
    (checkpoint / "README.md").write_text(card, encoding="latin-1")
    conversion = convert(checkpoint, checkpoint / "m.gguf")
    assert (conversion.name, conversion.licence) == ("checkpoint", "")
    assert "general.license" not in read_gguf(checkpoint / "m.gguf").metadata


def test_a_cwm_with_the_real_vocabulary_says_what_transformers_says(real_vocabulary: Path, real_vocabulary_gguf: Path):
    text = json.dumps(cwm_samples()[0])
    with Runtime.open(real_vocabulary_gguf, context=256, kv_type="f32", flash_attention=False, threads=1) as runtime:
        vocabulary = runtime.vocabulary
        ids = [128000, 128107, *vocabulary.tokenize(text)[:120], 128100, 128103]
        assert vocabulary.size == 128256 and len(set(ids)) > 40
        ours = runtime.verify(ids)
    model = CwmForCausalLM.from_pretrained(real_vocabulary, dtype=torch.float32)
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    assert theirs.std() > 0.3
    assert np.abs(ours - theirs).max() < 1e-4


PEAK_GROWTH = """
import resource, sys
from pathlib import Path
from quant.convert import convert

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

before = peak()
conversion = convert(Path(sys.argv[1]), Path(sys.argv[2]), dtype="f16")
print(conversion.size, peak() - before)
"""


def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path):
    """400 MB of weights, converted by a process that gets less than a quarter of that beside what it is itself."""
    hollow_cwm(tmp_path, hidden_size=2048, intermediate_size=16384)
    command = [sys.executable, "-c", PEAK_GROWTH, str(tmp_path), str(tmp_path / "m.gguf")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    assert size > 400e6
    assert grown < 100e6
