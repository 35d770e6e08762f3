"""A checkpoint is refused with one sentence, before anything is written, unless it is a whole and sound CWM."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CwmConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from quant.checkpoint import CWM_ROPE, Checkpoint, Rope
from quant.errors import ModelError
from quant.shape import CWM_32B, windowed_layers
from quant.specials import Special
from tests.checkpoints import SCALED_ROPE, as_older_spelling, change_json, change_tensors, hollow_model, shard

Q = "model.layers.1.self_attn.q_proj.weight"


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", **changes)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, change)


def sharded(then: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shard(folder, 3)
        then(folder)

    return change


def cut(name: str, missing: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) - missing] if missing > 0 else data[:-missing])

    return change


def without_specials(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"]:
        token["content"] = token["content"].replace("<|", "<|some_")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def a_llama_of_other_numbers(folder: Path) -> None:
    change_json(folder / "config.json", model_type="llama")
    without_specials(folder)


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (config(model_type="qwen2"), "a model of type 'qwen2'; a Code World Model says 'cwm'"),
        (config(model_type=...), "does not say its model_type; a Code World Model"),
        (a_llama_of_other_numbers, "a llama with 2 layers of 64, whose numbers are not CWM 32B's"),
        (config(quantization_config={"quant_method": "gptq"}), "of a quantized checkpoint"),
        (config(attention_bias=True), "sets attention_bias"),
        (config(hidden_act="gelu"), "the activation 'gelu'"),
        (config(num_hidden_layers=0), "num_hidden_layers is 0, which must be a whole number"),
        (config(rms_norm_eps="small"), "rms_norm_eps is 'small', which must be a number above 0"),
        (config(sliding_window=None), "does not say sliding_window"),
        (config(num_key_value_heads=3), "4 query heads, which is no multiple of 3"),
        (config(head_dim=31), "head_dim is 31, which must be even"),
        (config(layer_types=["full_attention"]), "1 layer_types for 2 layers"),
        (config(layer_types=["full_attention", "linear_attention"]), "a layer of type 'linear_attention'"),
        (config(layer_types=["full_attention"] * 2), "gives no layer a window"),
        (config(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4}), "scales positions by 'yarn'"),
        (config(rope_parameters={**SCALED_ROPE, "partial_rotary_factor": 0.5}), "partial_rotary_factor"),
        (config(rope_parameters={**SCALED_ROPE, "factor": math.nan}), "factor is nan, which must be a number above 0"),
        (config(rope_parameters={**SCALED_ROPE, "high_freq_factor": 1.0}), "rope parameters that make no sense"),
        (tensors(lambda found: found.pop(Q)), f"lacks the tensor {Q}"),
        (tensors(lambda found: found.update(more=torch.zeros(1))), "a tensor that no CWM has: more"),
        (config(num_hidden_layers=1, layer_types=["sliding_attention"]), "a tensor that no CWM has: .* and 8 more"),
        (tensors(lambda found: found.update({Q: torch.zeros(64, 128)})), r"\[64, 128\], but .* makes it \[128, 64\]"),
        (
            tensors(lambda found: found.update({Q: torch.zeros(128, 64).double()})),
            "q_proj.weight as F64; convert reads",
        ),
        (cut("model.safetensors", 5), "is cut short: 5 bytes of .* are missing"),
        (cut("model.safetensors", -1000), "is cut short or no safetensors file"),
        (cut("model.safetensors", -3), "is cut short or no safetensors file; download it again"),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "has no model.safetensors and no model.safetensors.index",
        ),
        (
            sharded(lambda folder: (folder / "model-00002-of-00003.safetensors").unlink()),
            "lacks model-00002-of-00003.safetensors, one of 3 files with weights",
        ),
        (
            sharded(
                lambda folder: [
                    (folder / name).unlink()
                    for name in ("model.safetensors.index.json", "model-00003-of-00003.safetensors")
                ]
            ),
            "lacks model-00003-of-00003.safetensors, one of 3 files with weights",
        ),
        (
            sharded(
                lambda folder: (folder / "model-00001-of-00003.safetensors").write_bytes(
                    (folder / "model-00002-of-00003.safetensors").read_bytes()
                )
            ),
            "model-00001-of-00003.safetensors lacks the tensor",
        ),
        (
            sharded(
                lambda folder: change_json(folder / "model.safetensors.index.json", weight_map={Q: "../../etc/passwd"})
            ),
            "names '../../etc/passwd' as the file of",
        ),
    ],
)
def test_what_is_no_sound_cwm_is_refused(checkpoint: Path, break_it: Callable[[Path], None], sentence: str):
    break_it(checkpoint)
    with pytest.raises(ModelError, match=sentence) as raised:
        Checkpoint.open(checkpoint)
    assert str(raised.value).count("\n") == 0 and str(raised.value).endswith(".")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="There is no folder"):
        Checkpoint.open(tmp_path / "nothing")


def test_a_sound_checkpoint_assumes_nothing(checkpoint: Path):
    opened = Checkpoint.open(checkpoint)
    assert opened.assumptions == ()
    assert opened.shape.windowed == (False, True) and opened.shape.window == 16
    assert set(opened.tensors) == {name for name in opened.shape.tensors() if "sinks" not in name}


def test_shards_hold_the_same_as_one_file_with_and_without_their_index(checkpoint: Path):
    def described() -> dict[str, tuple[str, tuple[int, ...]]]:
        return {name: (found.dtype, found.shape) for name, found in Checkpoint.open(checkpoint).tensors.items()}

    whole = described()
    shard(checkpoint, 3)
    assert described() == whole
    (checkpoint / "model.safetensors.index.json").unlink()
    assert described() == whole


def test_buffers_of_rotary_embeddings_are_ignored(checkpoint: Path):
    change_tensors(
        checkpoint, lambda found: found.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)})
    )
    Checkpoint.open(checkpoint)


def test_the_older_spelling_means_the_same(checkpoint: Path):
    newer = Checkpoint.open(checkpoint)
    as_older_spelling(checkpoint)
    older = Checkpoint.open(checkpoint)
    assert (older.shape, older.rope) == (newer.shape, newer.rope)
    assert ["which layers have the window" in sentence for sentence in older.assumptions] == [True]


def test_rope_that_is_not_spelled_out_is_cwms_as_in_transformers(checkpoint: Path):
    change_json(checkpoint / "config.json", rope_parameters=...)
    opened = Checkpoint.open(checkpoint)
    assert opened.rope == CWM_ROPE
    assert "how positions are scaled" in opened.assumptions[0]
    theirs = CwmConfig.from_pretrained(checkpoint).rope_parameters
    assert theirs["factor"] == CWM_ROPE.factor and theirs["rope_theta"] == CWM_ROPE.theta


def test_a_small_llama_with_cwms_tokens_is_taken_for_a_cwm_and_says_so(checkpoint: Path):
    as_older_spelling(checkpoint)
    change_json(checkpoint / "config.json", model_type="llama", sliding_window=...)
    opened = Checkpoint.open(checkpoint)
    assert opened.shape.window == 8192 and opened.shape.windowed == windowed_layers(2)
    assert len(opened.assumptions) == 3
    assert "its tokenizer has CWM's special tokens" in opened.assumptions[0]


@pytest.mark.parametrize("kind", ["cwm", "llama"])
def test_cwm_32b_is_recognized_from_the_heads_of_its_files(tmp_path: Path, cwm_tokenizer: Path, kind: str):
    """Of 65 GB only the heads are there: nothing else may be read."""
    hollow_model(tmp_path)
    shutil.copy(cwm_tokenizer, tmp_path)
    if kind == "llama":
        reserve_specials(tmp_path / "tokenizer.json")
        as_older_spelling(tmp_path)
        change_json(tmp_path / "config.json", model_type="llama", sliding_window=..., head_dim=...)
    opened = Checkpoint.open(tmp_path)
    assert opened.shape == CWM_32B and opened.rope == CWM_ROPE
    assert opened.tokenizer.pre_tokenizer == "llama-bpe"
    assert opened.tokenizer.pieces[128100] == Special.FRAME.value
    assert len(opened.assumptions) == (0 if kind == "cwm" else 4)
    if kind == "llama":
        change_json(tmp_path / "config.json", num_hidden_layers=63)
        with pytest.raises(ModelError, match="63 layers of 6144, whose numbers are not CWM 32B's"):
            Checkpoint.open(tmp_path)


def reserve_specials(path: Path) -> None:
    """Call CWM's tokens reserved, as some copies do."""
    tokenizer = json.loads(path.read_text())
    for token in tokenizer["added_tokens"]:
        if 128100 <= token["id"] <= 128107:
            token["content"] = f"<|reserved_special_token_{token['id'] - 128000}|>"
    path.write_text(json.dumps(tokenizer))


@pytest.mark.parametrize("head_size", [32, 128])
def test_scaled_frequencies_are_those_of_transformers(head_size: int):
    parameters = {**SCALED_ROPE, "rope_theta": 1e6, "original_max_position_embeddings": 8192}
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](CwmConfig(head_dim=head_size, rope_parameters=parameters), "cpu")
    divisors = CWM_ROPE.divisors(head_size)
    assert divisors is not None and {1.0, 16.0} < set(divisors.tolist())
    plain = 1e6 ** -(torch.arange(0, head_size, 2).double() / head_size)
    assert torch.allclose((plain / torch.from_numpy(divisors)).float(), theirs, rtol=1e-6)
    assert Rope(1e6).divisors(head_size) is None
    assert replace(CWM_ROPE, factor=1.0).divisors(head_size) is None
