from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CwmForCausalLM

from quant import observe
from quant.convert import convert
from quant.errors import ModelError
from quant.importance import collect
from quant.runtime import Runtime
from quant.specials import special_ids
from quant.traces import Document, WrittenTrace, to_document
from tests.ggufs import write_llama
from tests.traces import written_trace

PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def name_in_gguf(name: str) -> str:
    if name == "lm_head":
        return "output.weight"
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.weight"


def mean_squares(folder: Path, documents: list[Document]) -> dict[str, np.ndarray]:
    """The mean square of each linear layer's input columns behind what is given, by PyTorch's own hooks."""
    model: Any = CwmForCausalLM.from_pretrained(folder).float()
    seen: dict[str, list[np.ndarray]] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs: seen.setdefault(name, []).append(inputs[0][0, document.given :].numpy())

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(keep(name_in_gguf(name)))
    with torch.no_grad():
        for document in documents:
            model(input_ids=torch.tensor([document.tokens]))
    return {name: (np.concatenate(rows).astype(np.float64) ** 2).mean(axis=0) for name, rows in seen.items()}


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_it_is_the_mean_square_of_what_each_matrix_multiplies(tiny_checkpoint: Path, tmp_path: Path, dtype: str):
    torch.set_num_threads(1)
    path = tmp_path / "m.gguf"
    convert(tiny_checkpoint, path, dtype=dtype)
    traces = [written_trace(n) for n in range(2, 5)]
    with Runtime.open(path, context=2048, threads=1) as runtime:
        ids = special_ids(runtime.vocabulary, path)
        documents = [to_document(trace, runtime.vocabulary, ids, 2048) for trace in traces]
    progress: list[tuple[int, int]] = []
    importance = collect(path, traces, context=2048, threads=1, on_progress=lambda *seen: progress.append(seen))
    expected = mean_squares(tiny_checkpoint, documents)
    everything = sum(len(document.tokens) for document in documents)
    count = everything - sum(document.given for document in documents)
    assert (importance.traces, importance.tokens, importance.cut, importance.left_out) == (3, count, 0, 0)
    assert progress[0] == (0, everything) and progress[-1] == (everything, everything)
    assert importance.columns.keys() == expected.keys() and len(expected) == 2 * 7 + 1
    # Exact but for the attention, which is summed up in float16.
    for name, columns in expected.items():
        np.testing.assert_allclose(
            importance.columns[name], columns, rtol=5e-3, atol=1e-3 * columns.mean(), err_msg=name
        )


def test_a_trace_longer_than_the_context_is_seen_as_far_as_it_goes(tmp_path: Path):
    write_llama(tmp_path / "m.gguf")
    start = "<|begin_of_text|><|trace_context_start|>"
    given = WrittenTrace(f"{start}{'x' * 800}<|frame_sep|>y", len(f"{start}{'x' * 800}<|frame_sep|>"))
    importance = collect(tmp_path / "m.gguf", [written_trace(1), written_trace(9), given], context=768, threads=1)
    assert (importance.traces, importance.cut, importance.left_out) == (2, 1, 1)
    assert 300 < importance.tokens < 2 * 768


def test_what_goes_wrong_while_observing_reaches_the_caller(tmp_path: Path):
    write_llama(tmp_path / "m.gguf")

    def refuse(weight: str, rows: np.ndarray) -> None:
        raise ValueError(f"no {weight} {rows.shape}")

    with (
        Runtime.open(tmp_path / "m.gguf", context=256, threads=1, observe=refuse) as runtime,
        pytest.raises(ValueError, match=r"no blk\.0\.attn_\w+\.weight \(5, 32\)"),
    ):
        runtime.verify([1, 2, 3, 4, 5])


def test_ctrl_c_ends_an_evaluation_that_is_observed(tmp_path: Path):
    write_llama(tmp_path / "m.gguf")
    seen: list[str] = []

    def interrupt(weight: str, rows: np.ndarray) -> None:
        seen.append(weight)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
            time.sleep(1)  # time for the main thread to hear of it

    with (
        Runtime.open(tmp_path / "m.gguf", context=256, threads=1, observe=interrupt) as runtime,
        pytest.raises(KeyboardInterrupt),
    ):
        runtime.verify([1, 2, 3])
    assert len(seen) == 2


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_llama(tmp_path / "m.gguf")
    read = observe.Observer._read
    monkeypatch.setattr(observe.Observer, "_read", lambda self, address: read(self, address) * np.float32(np.inf))
    with pytest.raises(ModelError, match=r"not finite at blk\.0\.attn_"):
        collect(tmp_path / "m.gguf", [written_trace(1)], context=2048, threads=1)


@pytest.mark.parametrize("change", ["field before", "field between", "other name"])
def test_another_layout_of_ggmls_tensors_is_refused_and_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    fields = list(observe._Tensor._fields_)
    place = {"field before": 1, "field between": 7, "other name": 11}[change]
    other = type(
        "Other", (observe._Tensor.__base__,), {"_fields_": [*fields[:place], ("more", fields[9][1]), *fields[place:]]}
    )
    monkeypatch.setattr(observe, "_Tensor", other)
    write_llama(tmp_path / "m.gguf")
    observe._checked_ggml.cache_clear()
    try:
        with pytest.raises(ModelError, match="lays its tensors out differently"):
            collect(tmp_path / "m.gguf", [written_trace(1)], context=2048, threads=1)
    finally:
        observe._checked_ggml.cache_clear()


def test_observing_changes_no_logit(tmp_path: Path):
    write_llama(tmp_path / "m.gguf")
    tokens = list(range(40))
    with Runtime.open(tmp_path / "m.gguf", context=256, threads=1) as runtime:
        plain = runtime.verify(tokens)
    with Runtime.open(tmp_path / "m.gguf", context=256, threads=1, observe=lambda weight, rows: None) as runtime:
        assert (runtime.verify(tokens) == plain).all()
