"""GPUs as NVIDIA's driver and llama.cpp tell of them, both replaced at their own interfaces."""

from __future__ import annotations

import ctypes
import sys
import time
from types import SimpleNamespace

import pytest

from quant import device as module
from quant.device import Device, find_devices, host_device, llama_devices, measured_bandwidth, nvidia_devices

GIB = 2**30


class FakeNvml:
    """What is used of pynvml, for one card."""

    NVML_CLOCK_MEM = 2

    class NVMLError(Exception):
        pass

    def __init__(self, *, driver=True, memory=True, clock=10501, name="NVIDIA GeForce RTX 4090"):
        self.driver, self.memory, self.clock, self.name = driver, memory, clock, name
        self.open = False

    def nvmlInit(self):  # noqa: N802
        if not self.driver:
            raise self.NVMLError("NVML Shared Library Not Found")
        self.open = True

    def nvmlShutdown(self):  # noqa: N802
        self.open = False

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return self.name

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        if not self.memory:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(total=24564 * 2**20, free=23000 * 2**20)

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):  # noqa: N802
        if self.clock is None:
            raise self.NVMLError("Not Supported")
        return self.clock

    def nvmlDeviceGetMemoryBusWidth(self, handle):  # noqa: N802
        return 384


@pytest.fixture
def nvml(monkeypatch):
    def install(**how):
        fake = FakeNvml(**how)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        return fake

    return install


class FakeGgml:
    """ggml's device functions for a CPU and some GPUs, as ctypes has them."""

    def __init__(self, gpus):
        devices = [("CPU", "AMD EPYC", 0, 1, 2), *gpus]

        def memory(handle, free, total):
            free._obj.value, total._obj.value = devices[handle - 1][3:]

        self.ggml_backend_dev_count = self._function(lambda: len(devices))
        self.ggml_backend_dev_get = self._function(lambda index: index + 1)
        self.ggml_backend_dev_type = self._function(lambda handle: devices[handle - 1][2])
        self.ggml_backend_dev_name = self._function(lambda handle: devices[handle - 1][0].encode())
        self.ggml_backend_dev_description = self._function(lambda handle: devices[handle - 1][1].encode())
        self.ggml_backend_dev_memory = self._function(memory)

    @staticmethod
    def _function(work):
        def function(*arguments):
            return work(*arguments)

        return function


def library_with(*gpus):
    return SimpleNamespace(_lib=FakeGgml(gpus))


def test_nvidias_driver_tells_memory_and_bandwidth(nvml):
    fake = nvml()
    (found,) = nvidia_devices()
    assert found == Device(
        "NVIDIA GeForce RTX 4090", "cuda", 24564 * 2**20, 23000 * 2**20, pytest.approx(1008e9, rel=1e-3)
    )
    assert not fake.open


def test_without_a_driver_there_is_no_nvidia_gpu(nvml):
    nvml(driver=False)
    assert nvidia_devices() == []


def test_what_the_driver_does_not_say_is_left_open(nvml):
    nvml(clock=None)
    assert nvidia_devices()[0].bandwidth is None
    nvml(memory=False)
    assert nvidia_devices() == []


def test_llama_cpp_tells_which_gpus_it_was_built_for():
    found = llama_devices(
        library_with(
            ("CUDA0", "NVIDIA GeForce RTX 4090", 1, 20 * GIB, 24 * GIB),
            ("Vulkan1", "Intel Arc", 2, 7 * GIB, 8 * GIB),
            ("BLAS", "OpenBLAS", 3, 0, 0),
        )
    )
    assert found == [
        Device("NVIDIA GeForce RTX 4090", "cuda", 24 * GIB, 20 * GIB, None),
        Device("Intel Arc", "vulkan", 8 * GIB, 7 * GIB, None),
    ]


def test_the_installed_llama_cpp_answers():
    library = module.load_library()
    assert isinstance(library._lib, ctypes.CDLL)
    assert len(llama_devices(library)) == len(find_devices().gpus)
    assert bool(llama_devices(library)) == library.llama_supports_gpu_offload()


def test_a_gpu_that_llama_cpp_uses_has_the_bandwidth_of_the_driver(nvml, monkeypatch):
    nvml()
    gpu = ("CUDA0", "NVIDIA GeForce RTX 4090", 1, 20 * GIB, 24 * GIB)
    monkeypatch.setattr(module, "load_library", lambda: library_with(gpu))
    found = find_devices()
    assert [(device.name, device.memory_free) for device in found.gpus] == [("NVIDIA GeForce RTX 4090", 20 * GIB)]
    assert found.gpus[0].bandwidth == pytest.approx(1008e9, rel=1e-3)
    assert (found.unused, found.problem) == ((), "")


def test_a_gpu_that_llama_cpp_was_not_built_for_is_said_with_the_remedy(nvml, monkeypatch):
    nvml()
    monkeypatch.setattr(module, "load_library", library_with)
    found = find_devices()
    assert found.gpus == ()
    assert [device.name for device in found.unused] == ["NVIDIA GeForce RTX 4090"]
    assert "built without CUDA" in found.problem and "-DGGML_CUDA=on" in found.problem


def test_the_host_has_ram_and_a_measured_bandwidth():
    assert host_device().bandwidth is None
    measured_bandwidth.cache_clear()
    began = time.perf_counter()
    host = host_device(measure=True)
    assert time.perf_counter() - began < 5
    assert host.kind == "cpu" and host.memory_total > host.memory_free > 0
    assert 1e8 < host.bandwidth < 1e13
