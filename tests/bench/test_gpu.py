import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.gpu.measure import DRAFTED, buffer_sizes, cached_share, drop_from_cache, prefill_operations
from bench.gpu.table import table
from bench.random_gguf import NANO, SMALL, write_random_gguf
from quant.errors import ModelError
from quant.plan import build_of_shape

TINY = replace(SMALL, layers=4, windowed=SMALL.windowed[:4], vocabulary=1024, window=128, context=1024)
UNITS = ("_s", "_ms", "_bytes", "_per_s", "_tokens", "_share", "_repeats", "_operations", "_per_weight", "_planned")
ONLY_ON_A_GPU = {"driver", "cuda", "copy_bytes_per_s", "device_taken_bytes", "device_planned_bytes"}


def bench_gpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf", TINY, "Q4_K_M").path


@pytest.fixture(scope="module")
def run(model: Path) -> subprocess.CompletedProcess[str]:
    out = model.with_name("results.json")
    return bench_gpu("--quick", "--model", model, "--contexts", 64, 1024, "--threads", 1, "--out", out)


@pytest.fixture
def results(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value with its key."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, key)
    else:
        yield key, value


def test_the_last_line_is_the_results_and_they_are_in_the_file(results: dict[str, Any], model: Path) -> None:
    assert results == json.loads(model.with_name("results.json").read_text())
    assert results["bench"] == "gpu"
    assert results["model"]["file_bytes"] == model.stat().st_size
    assert results["model"]["type"] == "Q4_K_M"
    assert results["machine"]["threads"] == 1
    assert len(results["machine"]["commit"].rstrip("+")) == 40
    assert set(results) == {
        *("bench", "quick", "date", "model", "machine", "kv_type", "load", "memory", "contexts"),
    }


def test_on_a_cpu_all_is_known_but_what_only_a_gpu_has(results: dict[str, Any]) -> None:
    unknown = {key for key, value in leaves(results) if value is None}
    written = {"write_s", "write_bytes_per_s"}  # the file was there
    gpu = results["machine"]["kind"] != "cpu"
    assert unknown <= written | (set() if gpu else ONLY_ON_A_GPU)


def test_each_measurement_names_its_unit(results: dict[str, Any]) -> None:
    for part in ("load", "memory", "contexts"):
        for key, value in leaves(results[part]):
            plain = key in ("drafted", "relative", "repeats", "ms", "whole_window") or "share_of" in key
            assert plain or key.endswith(UNITS), key
            assert isinstance(value, bool) or value is None or value >= 0, key


def test_the_last_context_is_filled_but_for_what_is_measured_in_it(results: dict[str, Any]) -> None:
    first, last = results["contexts"]
    assert first["filled_tokens"] == first["context_tokens"] == 64
    assert last["context_tokens"] == 1024
    assert last["filled_tokens"] == 1024 - last["decode_repeats"] - max(DRAFTED)
    for each in results["contexts"]:
        assert each["prefill_tokens_per_s"] == pytest.approx(each["filled_tokens"] / each["prefill_s"])
        assert [cost["drafted"] for cost in each["verify"]] == list(DRAFTED)
        assert each["verify"][0]["relative"] == 1


def test_keys_and_values_take_what_the_window_says(results: dict[str, Any]) -> None:
    windows, whole = results["memory"]
    assert (windows["whole_window"], whole["whole_window"]) == (False, True)
    of_a_token = 2 * 2 * TINY.kv_heads * TINY.head_size  # keys and values, float16
    all_cells, window_cells = 1024, 768  # the window and a chunk, rounded up to a multiple of 256
    expected = of_a_token * (all_cells + 3 * window_cells), of_a_token * 4 * all_cells
    hundredths = 2 * 0.005 * 2**20  # of a MiB, as llama.cpp's log has them, for two kinds of layers
    assert (windows["kv_bytes"], whole["kv_bytes"]) == pytest.approx(expected, abs=hundredths)
    assert (windows["kv_planned_bytes"], whole["kv_planned_bytes"]) == expected


def test_resuming_measures_only_what_is_missing(results: dict[str, Any], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.json"
    out.write_text(json.dumps({**results, "contexts": results["contexts"][1:]}))
    resumed = bench_gpu("--quick", "--model", model, "--contexts", 64, 1024, "--threads", 1, "--out", out, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    found = json.loads(resumed.stdout.splitlines()[-1])
    assert found["contexts"][1] == results["contexts"][1]
    assert found["contexts"][0] != results["contexts"][0]
    assert found["load"] == results["load"]
    other = bench_gpu("--model", model, "--contexts", 64, "--threads", 1, "--out", out, "--resume")
    assert (other.returncode, other.stdout) == (3, "")
    assert "of another model, machine or commit" in other.stderr


def test_the_table_comes_from_the_results_alone(results: dict[str, Any], run: Any, model: Path) -> None:
    shown = bench_gpu("--table", model.with_name("results.json")).stdout
    assert shown.strip() == table(results)
    assert run.stdout.startswith(shown)
    rows = [line.count("|") for line in shown.splitlines() if line.startswith("|")]
    assert rows == [4] * (2 + 4 + len(DRAFTED)) + [3] * (2 + 2 + 2)
    assert "tiny.gguf as Q4_K_M" in shown
    random = {**results, "model": {**results["model"], "shape": "cwm-32b", "random": True}}
    assert "cwm-32b as Q4_K_M (0.00 GB), random weights of that shape (speed only)" in table(random)


def test_the_buffers_on_the_gpu_count_where_there_are_any() -> None:
    log = """load_tensors:   CPU_Mapped model buffer size =   400.00 MiB
load_tensors:        CUDA0 model buffer size = 18000.00 MiB
llama_context:  CUDA_Host  output buffer size =     0.49 MiB
llama_kv_cache:      CUDA0 KV buffer size =  8192.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =  1632.00 MiB
sched_reserve:      CUDA0 compute buffer size =   350.50 MiB
sched_reserve:  CUDA_Host compute buffer size =   140.01 MiB
"""
    mib = 2**20
    assert buffer_sizes(log) == {"model": 18000 * mib, "KV": 9824 * mib, "compute": 350.5 * mib}
    on_cpu = "".join(line + "\n" for line in log.splitlines() if "CUDA0" not in line)
    cpu_kv = on_cpu + "llama_kv_cache:        CPU KV buffer size =    10.00 MiB\n"
    assert buffer_sizes(cpu_kv)["KV"] == 10 * mib
    with pytest.raises(ModelError, match="wording"):
        buffer_sizes(on_cpu)


@pytest.mark.parametrize("tokens", [1, 100, 128, 300])
def test_a_prefills_work_is_that_of_each_token_counted_by_hand(tokens: int) -> None:
    shape = TINY
    hidden, query, key = shape.hidden, shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    matrices = 2 * hidden * query + 2 * hidden * key + 3 * hidden * shape.feed_forward
    expected = 2 * hidden * shape.vocabulary
    for position in range(tokens):
        for windowed in shape.windowed:
            seen = min(position + 1, shape.window) if windowed else position + 1
            expected += 2 * matrices + 2 * 2 * query * seen
    assert prefill_operations(build_of_shape(shape, "Q4_K_M"), tokens) == expected


def test_a_file_just_read_is_in_the_page_cache_and_can_be_dropped_from_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2**20))
    path.read_bytes()
    assert cached_share(path) == 1.0
    drop_from_cache(path)
    dropped = cached_share(path)
    assert dropped is not None
    assert 0.0 <= dropped <= 1.0  # a file system in memory cannot drop it


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--table", "absent.json"], 3, "absent.json cannot be read (No such file or directory)"),
        (["--table", __file__], 3, "test_gpu.py holds no results"),
        (["--quick", "--model", "absent.gguf"], 3, "There is no model file absent.gguf"),
        (["--quick", "--model", NANO, "--contexts", "10000"], 3, "was trained for 8,192 tokens"),
        (["--quick", "--contexts", "0"], 2, "positive numbers"),
        (["--quick", "--resume"], 2, "--resume needs --out"),
        (["--quick", "--out", "absent/results.json"], 2, "there is no folder absent"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[object], code: int, sentence: str) -> None:
    done = bench_gpu(*arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
