"""Predicted memory against llama.cpp's own accounting, and what is chosen for which memory."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from importlib import import_module

import pytest

from bench.memory import CASES, NANO, SHAPES, compare, write_empty_gguf
from foretrace.models import bundled_path
from quant.device import Device
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.llama_log import CapturedLog
from quant.plan import (
    BUILDS,
    DEFAULT_CONTEXT,
    GIB,
    MIB,
    QUANTIZED,
    build_of_gguf,
    build_of_shape,
    cells,
    choose,
    context_for,
    kv_sizes,
    memory,
    pool,
    recommend,
    room_on,
    tokens_per_second,
)
from quant.runtime import ALL_LAYERS, Runtime
from quant.shape import CWM_32B

CPU = Device("the CPU", "cpu", 64 * GIB, 60 * GIB, 50e9)
CWM_BUILDS = [build_of_shape(CWM_32B, name) for name in BUILDS]


def gpu(gib, bandwidth=1000e9):
    return Device(f"a GPU of {gib} GiB", "cuda", int(gib * GIB), int(gib * GIB), bandwidth)


def ram(gib):
    return replace(CPU, memory_total=int(gib * GIB), memory_free=0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.shape} {case.build} {case.context} {case.kv_type}")
def test_predicted_memory_is_what_llama_cpp_allocates(tmp_path, case):
    for where, predicted, allocated in compare(tmp_path, case):
        assert predicted.total == pytest.approx(allocated.total, rel=0.02), where
        assert predicted.weights == pytest.approx(allocated.weights, rel=0.001)
        assert predicted.kv == pytest.approx(allocated.kv, rel=0.001)
        assert predicted.compute == pytest.approx(allocated.compute, rel=0.25)


def test_weights_of_a_gguf_are_taken_from_the_file():
    build = build_of_gguf(read_gguf(bundled_path()))
    assert build.name == "Q4_0"
    assert build.size == pytest.approx(bundled_path().stat().st_size, rel=0.01)
    assert sum(build.layers) + build.embedding + build.output == pytest.approx(build.size, rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("calibrated", [False, True])
def test_sizes_of_builds_are_those_of_the_quantizer(tmp_path, shape, calibrated):
    library = import_module("llama_cpp.llama_cpp")
    path = tmp_path / "float.gguf"
    write_empty_gguf(path, build_of_shape(SHAPES[shape], "F16"))
    for name in QUANTIZED:
        parameters = library.llama_model_quantize_default_params()
        parameters.ftype = getattr(library, f"LLAMA_FTYPE_MOSTLY_{name}")
        parameters.dry_run = True
        if calibrated:
            entry = library.llama_model_imatrix_data
            ones = (ctypes.c_float * 1)(1.0)
            matrix = (entry * 2)(entry(b"blk.0.ffn_up.weight", ones, 1))
            parameters.imatrix = ctypes.cast(matrix, type(parameters.imatrix))
        with CapturedLog(library) as log:
            status = library.llama_model_quantize(str(path).encode(), b"", ctypes.byref(parameters))
        assert status == 0
        (said,) = re.findall(r"quant size\s*=\s*([\d.]+) MiB", log.text)
        build = build_of_shape(SHAPES[shape], name, calibrated=calibrated)
        assert build.size / MIB == pytest.approx(float(said), abs=0.01), name


def test_windowed_layers_keep_their_window_and_a_chunk():
    assert cells(CWM_32B, 131_072) == (131_072, 8704)
    assert cells(CWM_32B, 4000) == (4096, 4096)
    assert cells(CWM_32B, 131_072, whole_window=True) == (131_072, 131_072)
    kept = kv_sizes(CWM_32B, 131_072)
    assert sum(kept) == pytest.approx(9.6 * GIB, rel=0.01)
    assert sum(kv_sizes(CWM_32B, 131_072, whole_window=True)) == 32 * GIB
    assert sum(kv_sizes(CWM_32B, 131_072, "q8_0")) / sum(kept) == pytest.approx(34 / 64)


def test_heads_that_no_block_divides_are_kept_in_f16():
    odd = replace(CWM_32B, head_size=80)
    with pytest.raises(ModelError, match="cannot be kept as q8_0: its heads have 80 numbers"):
        kv_sizes(odd, 8192, "q8_0")
    fit = recommend([build_of_shape(odd, "Q4_K_M")], gpu(80), CPU)
    assert fit is not None and fit.kv_type == "f16"


def test_layers_move_to_the_gpu_from_the_last_one_down_and_the_embedding_never():
    build = build_of_shape(CWM_32B, "Q4_K_M")
    everything = memory(build, 8192, gpu_layers=ALL_LAYERS)
    assert everything.device.weights == build.size - build.embedding
    assert everything.host.weights == build.embedding and everything.host.kv == 0
    only_output = memory(build, 8192, gpu_layers=1)
    assert only_output.device.weights == build.output and only_output.device.kv == 0
    half = memory(build, 8192, gpu_layers=33)
    assert half.device.weights == build.output + sum(build.layers[32:])
    assert half.device.weights + half.host.weights == build.size
    nothing = memory(build, 8192)
    assert nothing.device.total == 0 and nothing.host.weights == build.size


def test_a_model_that_uses_its_embedding_as_output_has_it_on_both_sides(tmp_path):
    build = build_of_shape(NANO, "Q8_0")
    tied = replace(build, tensors=tuple(tensor for tensor in build.tensors if tensor.name != "output.weight"))
    placed = memory(tied, 8192, gpu_layers=ALL_LAYERS)
    assert placed.device.weights + placed.host.weights == tied.size + tied.embedding


@pytest.mark.parametrize(
    ("memory_gib", "build", "context", "kv_type", "whole"),
    [
        (8, "Q4_K_M", 8192, "f16", False),
        (16, "Q3_K_M", 8192, "f16", False),
        (20, "IQ4_XS", 32_768, "q8_0", True),
        (24, "Q4_K_M", 32_768, "f16", True),
        (32, "Q6_K", 32_768, "f16", True),
        (48, "Q8_0", 32_768, "f16", True),
        (80, "BF16", 32_768, "f16", True),
    ],
)
def test_the_best_that_fits_is_recommended(memory_gib, build, context, kv_type, whole):
    fit = recommend(CWM_BUILDS, gpu(memory_gib), CPU)
    assert fit is not None
    found = (fit.build.name, fit.context, fit.kv_type, fit.whole)
    assert found == (build, context, kv_type, whole)
    assert fit.memory.device.total <= room_on(gpu(memory_gib))


def test_a_context_that_is_asked_for_is_had_by_a_smaller_build():
    fit = recommend(CWM_BUILDS, gpu(24), CPU, 131_072)
    assert fit is not None
    assert (fit.build.name, fit.context, fit.kv_type, fit.whole) == ("IQ4_XS", 131_072, "q8_0", True)


def test_more_memory_never_makes_a_choice_worse():
    sizes = [fit.build.size for gib in range(18, 100, 2) if (fit := recommend(CWM_BUILDS, gpu(gib), CPU)) and fit.whole]
    assert sizes == sorted(sizes) and len(set(sizes)) > 4


def test_speed_is_what_is_read_for_a_token_over_the_bandwidth():
    build = build_of_shape(CWM_32B, "Q4_K_M")
    near = build.size - build.embedding

    def rate(filled, gpu_layers):
        found = tokens_per_second(build, filled, kv_type="f16", gpu_layers=gpu_layers, device=gpu(24), host=CPU)
        assert found is not None
        return found

    assert rate(0, ALL_LAYERS) == pytest.approx(1000e9 / near)
    assert rate(8192, ALL_LAYERS) == pytest.approx(1000e9 / (near + 64 * 8192 * 4096))
    # Beyond the window only 16 layers read more.
    assert rate(32_768, ALL_LAYERS) == pytest.approx(1000e9 / (near + (48 * 8192 + 16 * 32_768) * 4096))
    assert rate(0, 33) == pytest.approx(
        1 / ((sum(build.layers[32:]) + build.output) / 1000e9 + sum(build.layers[:32]) / 50e9)
    )
    unknown = tokens_per_second(build, 0, kv_type="f16", gpu_layers=ALL_LAYERS, device=gpu(24, None), host=CPU)
    assert unknown is None


def test_several_gpus_are_one_with_all_their_memory():
    assert pool([]) is None
    both = pool([gpu(24, 1000e9), gpu(24, 500e9)])
    assert both is not None
    assert (both.memory_total, both.count) == (48 * GIB, 2)
    assert both.bandwidth == pytest.approx(2 / (1 / 1000e9 + 1 / 500e9))
    fit = recommend(CWM_BUILDS, both, CPU)
    assert fit is not None and fit.whole and fit.build.name == "Q8_0"
    assert fit.memory.device.overhead == 2 * memory(fit.build, fit.context, gpu_layers=ALL_LAYERS).device.overhead


# Loading.


@pytest.fixture(scope="module")
def cwm(tmp_path_factory):
    path = tmp_path_factory.mktemp("cwm") / "cwm-Q4_K_M.gguf"
    write_empty_gguf(path, build_of_shape(CWM_32B, "Q4_K_M"))
    return read_gguf(path)


def test_the_bundled_model_is_loaded_on_the_cpu_as_it_always_was():
    choice = choose(read_gguf(bundled_path()), [], CPU)
    assert (choice.context, choice.kv_type, choice.device, choice.notes) == (8192, "f16", None, ())


def test_a_pessimistic_reading_of_free_memory_keeps_nobody_from_loading():
    assert choose(read_gguf(bundled_path()), [], ram(2)).context == 8192


def test_a_large_model_goes_to_the_gpu_whole_with_a_context_for_a_thousand_frames(cwm):
    choice = choose(cwm, [gpu(24)], ram(32))
    assert (choice.context, choice.kv_type, choice.gpu_layers) == (DEFAULT_CONTEXT, "f16", ALL_LAYERS)
    assert choice.notes == ()


def test_what_is_given_up_for_memory_is_said(cwm):
    smaller = choose(cwm, [gpu(21)], ram(32))
    assert smaller.gpu_layers == ALL_LAYERS and smaller.context < DEFAULT_CONTEXT
    assert smaller.notes[0].startswith(f"The context is {smaller.context:,} tokens instead of 32,768")
    partly = choose(cwm, [gpu(16)], ram(32))
    assert 0 < partly.gpu_layers < 60
    assert f"{partly.gpu_layers - 1} of 64 layers fit on a GPU of 16 GiB" in partly.notes[-1]
    in_ram = choose(cwm, [], ram(21.5))
    assert in_ram.context < DEFAULT_CONTEXT and "since memory holds no more" in in_ram.notes[0]


def test_a_model_that_cannot_fit_is_refused_with_what_it_needs(cwm):
    with pytest.raises(ModelError, match=r"cwm-Q4_K_M.gguf needs at least 19.\d GiB of memory, but .* 6.0 GiB of RAM"):
        choose(cwm, [], ram(8))


def test_a_plain_llama_gets_the_context_it_is_right_for(tmp_path):
    plain = replace(NANO, context=131_072, window=0, windowed=(False,) * 30)
    path = tmp_path / "plain.gguf"
    write_empty_gguf(path, build_of_shape(plain, "Q8_0"), "llama")
    assert context_for(plain, 131_072) == 8192
    choice = choose(read_gguf(path), [], CPU)
    assert choice.context == 8192
    with Runtime.open(path, context=choice.context, kv_type=choice.kv_type, threads=1) as runtime:
        assert runtime.context == choice.context


def test_the_runtime_loads_what_was_chosen(tmp_path):
    path = tmp_path / "model.gguf"
    write_empty_gguf(path, build_of_shape(SHAPES["deep"], "Q4_0"))
    choice = choose(read_gguf(path), [], CPU)
    assert choice.context == DEFAULT_CONTEXT
    with Runtime.open(
        path, context=choice.context, kv_type=choice.kv_type, gpu_layers=choice.gpu_layers, threads=1
    ) as runtime:
        assert runtime.context == choice.context
