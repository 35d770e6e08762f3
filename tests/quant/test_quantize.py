from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, dequantize

from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.importance import Importance
from quant.plan import QUANTIZED
from quant.quantize import quantize
from quant.runtime import Runtime
from tests.ggufs import write_llama

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 512, 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_llama(tmp_path / "m.gguf")
    return tmp_path / "m.gguf"


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """One layer whose rows hold 512 numbers, so that they divide into every type's blocks."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(tmp_path / "wide.gguf", "llama")
    for key, value in {"context_length": 256, "embedding_length": COLUMNS, "block_count": 1,
                       "feed_forward_length": COLUMNS, "attention.head_count": 8}.items():  # fmt: skip
        writer.add_uint32(f"llama.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    for name in ("token_embd", "blk.0.ffn_gate", "blk.0.attn_q", "output"):
        writer.add_tensor(f"{name}.weight", random.standard_normal((ROWS, COLUMNS), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "wide.gguf"


def weights(path: Path, name: str) -> np.ndarray:
    tensor = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == name)
    return dequantize(tensor.data, tensor.tensor_type)


def importance() -> Importance:
    """A few columns matter a thousand times more than others."""
    columns = np.where(np.arange(COLUMNS) % 16 == 3, 1000.0, 1.0).astype(np.float32)
    return Importance({"blk.0.ffn_gate.weight": columns, "blk.0.attn_q.weight": columns[::-1].copy()}, 7, 900, 0, 0)


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M"])
def test_an_importance_matrix_lowers_the_error_that_it_weighs(wide: Path, tmp_path: Path, kind: str):
    matters = importance()
    quantize(wide, tmp_path / "plain.gguf", kind, threads=1)
    quantize(wide, tmp_path / "weighed.gguf", kind, matters, threads=1)
    for name, columns in matters.columns.items():
        exact = weights(wide, name)
        plain, weighed = (
            float(((weights(tmp_path / file, name) - exact) ** 2 @ columns).sum())
            for file in ("plain.gguf", "weighed.gguf")
        )
        assert weighed < 0.9 * plain
    # No importance is known for the embedding: it stays as it was.
    assert (weights(tmp_path / "plain.gguf", "token_embd.weight")
            == weights(tmp_path / "weighed.gguf", "token_embd.weight")).all()  # fmt: skip


def test_the_build_says_that_an_importance_matrix_was_used(wide: Path, tmp_path: Path):
    quantize(wide, tmp_path / "plain.gguf", "Q4_K_M", threads=1)
    quantize(wide, tmp_path / "weighed.gguf", "Q4_K_M", importance(), threads=1)
    metadata = read_gguf(tmp_path / "weighed.gguf").metadata
    assert metadata["quantize.imatrix.dataset"] == "execution traces"
    assert metadata["quantize.imatrix.entries_count"] == 2
    assert metadata["quantize.imatrix.chunks_count"] == 7
    assert not [key for key in read_gguf(tmp_path / "plain.gguf").metadata if "imatrix" in key]


def test_rows_that_fit_get_the_type_asked_for(wide: Path, tmp_path: Path):
    build = quantize(wide, tmp_path / "q.gguf", "Q4_K_M", threads=1)
    assert build.tensors == {"Q4_K": 3, "Q6_K": 1} and build.unfitting == 0
    assert build.size == (tmp_path / "q.gguf").stat().st_size and build.source_size == wide.stat().st_size
    assert build.bits_per_weight == pytest.approx((3 * 4.5 + 6.5625) / 4)


@pytest.mark.parametrize("kind", QUANTIZED)
def test_every_kind_can_be_made_loaded_and_told_from_the_others(source: Path, tmp_path: Path, kind: str, capfd):
    seen: list[tuple[int, int]] = []
    build = quantize(source, tmp_path / "q.gguf", kind, threads=1, on_progress=lambda *progress: seen.append(progress))
    made = read_gguf(tmp_path / "q.gguf")
    assert made.quantization == kind
    # Its rows hold 32 or 64 numbers: the K types' blocks hold 256.
    assert build.unfitting == (0 if kind in ("Q8_0", "Q4_0") else 16)
    assert sum(build.tensors.values()) == len(made.tensors) == 21
    assert build.size <= seen[-1][1] < build.size + 20_000 and seen[-1][0] == seen[-1][1]
    with Runtime.open(tmp_path / "q.gguf", context=256, threads=1) as runtime:
        assert np.isfinite(runtime.verify([1, 2, 3])).all()
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_quantized_is_refused_and_nothing_is_left(source: Path, tmp_path: Path):
    quantize(source, tmp_path / "q.gguf", "Q8_0", threads=1)
    (tmp_path / "text.gguf").write_text("no model")
    (tmp_path / "cut.gguf").write_bytes(source.read_bytes()[:-1000])
    (tmp_path / "link.gguf").symlink_to(source)
    out = tmp_path / "out.gguf"
    for path, place, kind, sentence in [
        (tmp_path / "q.gguf", out, "Q4_0", "is quantized already (Q8_0)"),
        (tmp_path / "text.gguf", out, "Q4_0", "is not a GGUF file"),
        (tmp_path / "cut.gguf", out, "Q4_0", "is cut short"),
        (tmp_path / "none.gguf", out, "Q4_0", "There is no model file"),
        (source, out, "Q4_2", "There is no build Q4_2; there are Q8_0, Q6_K"),
        (source, tmp_path / "link.gguf", "Q4_0", "is the source itself"),
    ]:
        with pytest.raises(ModelError) as caught:
            quantize(path, place, kind)
        assert sentence in str(caught.value)
        assert not out.exists()
    assert read_gguf(source).quantization == "F16"


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(source: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 20_000, 20_000))
    with pytest.raises(ModelError, match=r"Q8_0 of m.gguf needs \d+\.\d KiB, but only .* are free in"):
        quantize(source, tmp_path / "out.gguf", "Q8_0")
    assert not (tmp_path / "out.gguf").exists()


def test_a_disk_that_fills_up_half_way_leaves_nothing(source: Path, tmp_path: Path):
    # A limit on the size of files stands for a full disk: both make the same write fail.
    program = (
        "import resource, signal, sys; from pathlib import Path; from quant.quantize import quantize\n"
        "from quant.errors import ModelError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try: quantize(Path(sys.argv[1]), Path(sys.argv[2]), 'Q8_0', threads=1)\n"
        "except ModelError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, source, tmp_path / "out.gguf"], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("Q8_0 of m.gguf could not be written whole: ") and done.stderr == ""
    assert done.stdout.strip().endswith("Nothing was left behind.")
    assert sorted(os.listdir(tmp_path)) == ["m.gguf"]


def test_llama_cpps_own_complaint_is_passed_on(source: Path, tmp_path: Path):
    data = bytearray(source.read_bytes())
    output = next(tensor for tensor in read_gguf(source).tensors if tensor.name == "output.weight")
    data[output.offset : output.offset + 64] = np.full(32, np.nan, dtype=np.float16).tobytes()
    (tmp_path / "nan.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"nan.gguf could not be quantized to Q4_0: .*output\.weight"):
        quantize(tmp_path / "nan.gguf", tmp_path / "out.gguf", "Q4_0", threads=1)
    assert not (tmp_path / "out.gguf").exists()


def two_widths(path: Path, fitting_rows: int) -> Path:
    """A layer of one matrix that divides into the K types' blocks and two larger ones that do not."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {"context_length": 256, "embedding_length": 96, "block_count": 1,
                       "feed_forward_length": 256, "attention.head_count": 3}.items():  # fmt: skip
        writer.add_uint32(f"llama.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, rows, columns in [("attn_q", fitting_rows, 256), ("ffn_gate", 2048, 96), ("ffn_up", 2048, 96)]:
        writer.add_tensor(f"blk.0.{name}.weight", random.standard_normal((rows, columns), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def types(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in read_gguf(path).tensors}


@pytest.mark.parametrize(("kind", "low", "high", "others"), [("Q4_K_M", "Q4_K", "Q5_K", "Q5_0"),
                                                             ("Q5_K_M", "Q5_K", "Q6_K", "Q5_1")])  # fmt: skip
def test_a_calibrated_build_raises_the_few_matrices_that_fit_where_others_do_not(
    tmp_path: Path, kind: str, low: str, high: str, others: str
):
    known = Importance({"blk.0.attn_q.weight": np.ones(256, dtype=np.float32)}, 1, 1, 0, 0)
    few, many = two_widths(tmp_path / "few.gguf", 64), two_widths(tmp_path / "many.gguf", 1024)
    for source, importance, expected in [(few, known, high), (few, None, low), (many, known, low)]:
        build = quantize(source, tmp_path / "q.gguf", kind, importance, threads=1)
        assert types(tmp_path / "q.gguf") == {
            "blk.0.attn_q.weight": expected, "blk.0.ffn_gate.weight": others, "blk.0.ffn_up.weight": others,
        }  # fmt: skip
        assert build.raised == (expected == high) and build.unfitting == 2
