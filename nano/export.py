"""A Hugging Face CWM checkpoint as a GGUF that llama.cpp runs exactly, and its quantized builds.

    python -m nano.export CHECKPOINT OUT.gguf [--type F16|Q8_0|Q5_1|Q4_1|Q4_0|...]

llama.cpp does not know CWM. Its `granite_swa` is the same network once Granite's scales are 1, the attention sinks take
no share of the softmax and the layers' windows are spelled out. Rows of q and k are
reordered as for llama, where the two halves that rotate together are interleaved.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gguf
import llama_cpp
import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from quant.specials import Special

ARCHITECTURE = "granite_swa"
FORMAT_VERSION = 1
"""Of the words nano was trained on; `general.version` of the GGUF."""

NO_SINK = -1e30
"""An attention sink that gets exactly nothing in float32; minus infinity would too, but the quantizer refuses it."""

LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OTHER_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
TYPES = {
    name: getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    for name in ("F16", "Q8_0", "Q6_K", "Q5_0", "Q5_1", "Q5_K_M", "Q4_0", "Q4_1", "Q4_K_M")
}


class ExportError(Exception):
    """The checkpoint cannot become a GGUF; `str()` says why."""


def permute(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Reorder the rows of q or k: the halves that rotate together, one after the other in transformers, interleave."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def rope_factors(rope: dict[str, Any], head_size: int) -> npt.NDArray[np.float32] | None:
    """What llama3 scaling divides each frequency by, float32 [head_size / 2]; None where there is no scaling."""
    if rope["rope_type"] == "default":
        return None
    if rope["rope_type"] != "llama3":
        raise ExportError(f"RoPE of type {rope['rope_type']!r} is not known here.")
    frequencies = rope["rope_theta"] ** -(np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    wavelengths = 2 * math.pi / frequencies
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    smooth = (original / wavelengths - low) / (high - low)
    blended = 1 / ((1 - smooth) / factor + smooth)
    factors = np.where(wavelengths < original / high, 1.0, np.where(wavelengths > original / low, factor, blended))
    return factors.astype(np.float32)


def checkpoint_tensors(folder: Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The checkpoint's tensors one by one as float32."""
    for shard in sorted(folder.glob("*.safetensors")):
        opened: Any = safe_open(shard, framework="pt")
        with opened as tensors:
            for name in cast("list[str]", tensors.keys()):
                yield name, cast("torch.Tensor", tensors.get_tensor(name)).to(torch.float32).numpy()


def gguf_tensors(folder: Path, config: dict[str, Any]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The tensors under llama.cpp's names, float32."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    factors = rope_factors(config["rope_parameters"], config["head_dim"])
    if factors is not None:
        yield "rope_freqs.weight", factors
    for layer in range(config["num_hidden_layers"]):
        yield f"blk.{layer}.attn_sinks.weight", np.full(heads, NO_SINK, dtype=np.float32)
    for name, weight in checkpoint_tensors(folder):
        if name in OTHER_TENSORS:
            yield OTHER_TENSORS[name], weight
            continue
        _, _, layer, part = name.removesuffix(".weight").split(".", 3)
        if part == "self_attn.q_proj":
            weight = permute(weight, heads)
        elif part == "self_attn.k_proj":
            weight = permute(weight, kv_heads)
        yield f"blk.{layer}.{LAYER_TENSORS[part]}.weight", weight


def write_vocabulary(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], pre_tokenizer: str) -> None:
    """Pieces, merges and specials; CWM's specials are control tokens, which text never becomes."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    data = json.loads((folder / "tokenizer.json").read_text())
    specials = {token["content"] for token in data["added_tokens"]}
    if missing := [special.value for special in Special if special.value not in specials]:
        raise ExportError(f"The tokenizer lacks CWM's special token {missing[0]}.")
    pieces = [tokenizer.id_to_token(index) for index in range(config["vocab_size"])]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list([piece or f"[unused {index}]" for index, piece in enumerate(pieces)])
    kinds = {True: gguf.TokenType.CONTROL, False: gguf.TokenType.NORMAL}
    writer.add_token_types([kinds[piece in specials] if piece else gguf.TokenType.UNUSED for piece in pieces])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(pieces.index(Special.BEGIN.value))
    writer.add_eos_token_id(pieces.index(Special.END.value))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


def write_gguf(folder: Path, out: Path, *, pre_tokenizer: str = "smollm", half: bool = True) -> None:
    """Write the checkpoint in `folder` as a GGUF: float16 matrices (`half`) or all float32. Raises ExportError."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "cwm":
        raise ExportError(f"{folder} holds a model of type {config['model_type']!r}, not a CWM.")
    writer = gguf.GGUFWriter(out, ARCHITECTURE)
    writer.add_name("foretrace nano")
    writer.add_version(str(FORMAT_VERSION))
    writer.add_description("A tiny CWM that predicts Python runs line by line, trained from SmolLM2-135M.")
    writer.add_license("apache-2.0")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, "SmolLM2-135M-Instruct")
    writer.add_base_model_organization(0, "HuggingFaceTB")
    writer.add_base_model_repo_url(0, "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    writer.add_logit_scale(1.0)
    writer.add_residual_scale(1.0)
    writer.add_embedding_scale(1.0)
    writer.add_attention_scale(config["head_dim"] ** -0.5)
    write_vocabulary(writer, folder, config, pre_tokenizer)
    for name, weight in gguf_tensors(folder, config):
        writer.add_tensor(name, weight.astype(np.float16) if half and weight.ndim == 2 else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source: Path, out: Path, kind: str) -> None:
    """Write a quantized build of a float GGUF with llama.cpp's own quantizer. Raises ExportError."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = TYPES[kind]
    reference: Any = ctypes.byref(parameters)
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), reference)
    if code != 0:
        raise ExportError(f"llama.cpp could not quantize {source} to {kind}.")


def main() -> None:
    """Export and quantize."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="F16", choices=TYPES)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out.parent) as folder:
        whole = Path(folder) / "whole.gguf"
        write_gguf(options.checkpoint, whole)
        done = whole
        if options.type != "F16":
            done = Path(folder) / "quantized.gguf"
            quantize(whole, done, options.type)
        done.replace(options.out)
    print(f"wrote {options.out}: {cast(int, options.out.stat().st_size) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
