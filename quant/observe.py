"""What a model's weight matrices multiply, seen while llama.cpp evaluates: its evaluation callback, through ctypes.

llama.cpp shows the callback each step of its computation, a `ggml_tensor`, and says nothing of that struct's layout.
The layout known here is that of ggml 0.25; it is checked on tensors made for that before any of llama.cpp's own is
read.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quant.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIMENSIONS, _SOURCES, _NAME, _PARAMETERS = 4, 10, 64, 16
_FLOAT32 = 0  # GGML_TYPE_F32 of ggml.h
_FLOAT_BYTES = 4
_POLL_SECONDS = 0.2


class _Tensor(ctypes.Structure):
    """`struct ggml_tensor` of ggml.h, as far as its name."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * _DIMENSIONS),
        ("nb", ctypes.c_size_t * _DIMENSIONS),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * _PARAMETERS),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * _SOURCES),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * _NAME),
    )


class _Pool(ctypes.Structure):
    """`struct ggml_init_params` of ggml.h."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class _Task:
    """One evaluation in another thread. Whoever waits for it may be interrupted at any line and then abandons it."""

    def __init__(self, evaluate: Callable[[], int]) -> None:
        self._evaluate = evaluate
        self._gate = threading.Lock()
        self._begun = self._abandoned = False
        self.ended = threading.Event()
        self.result = 0
        self.error: BaseException | None = None

    def work(self) -> None:
        """Evaluate, unless abandoned before."""
        with self._gate:
            if self._abandoned:
                return
            self._begun = True
        try:
            self.result = self._evaluate()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def abandon(self) -> None:
        """Return when the evaluation will not begin any more, or has ended: nobody may free a model in use."""
        with self._gate:
            self._abandoned = True
        while self._begun and not self.ended.is_set():
            with suppress(KeyboardInterrupt):
                self.ended.wait(_POLL_SECONDS)


class Observer:
    """Hands on what each of the named weight matrices multiplies.

    Give `callback` to llama.cpp, keep the observer, and let it `run` each evaluation.
    """

    def __init__(
        self, library: Any, weights: Collection[str], observe: Callable[[str, NDArray[np.float32]], None]
    ) -> None:
        """Call `observe` with a weight's name and its input, float32 [tokens, columns]. Raises ModelError."""
        self._ggml, self._matrix_product = _checked_ggml()
        self._weights = frozenset(weights)
        self._observe = observe
        self._error: BaseException | None = None
        self.callback: Any = library.ggml_backend_sched_eval_callback(self._called)

    def run(self, evaluate: Callable[[], int]) -> int:
        """Evaluate, and return what `evaluate` does. Raises what the observing raised, and KeyboardInterrupt.

        The work is done in a thread of its own: Ctrl-C interrupts the main thread at the next line of Python, which
        would be one that llama.cpp calls, and what is raised there is lost.
        """
        task = _Task(evaluate)
        try:
            threading.Thread(target=task.work).start()
            while not task.ended.wait(_POLL_SECONDS):
                pass
        except BaseException as error:
            self._error = error  # which `_called` sees, so that the evaluation ends
            task.abandon()
        error, self._error = self._error or task.error, None
        if error is not None:
            raise error
        return task.result

    def _called(self, address: int, asks: bool, _data: object) -> bool:
        """`asks`: whether the tensor at `address` shall be shown once it is computed; else whether to go on."""
        try:
            if self._error is not None:
                return False
            tensor = _Tensor.from_address(address)
            weight = self._weight_of(tensor)
            if asks:
                return weight is not None
            if weight is not None:
                self._observe(weight, self._read(tensor.src[1]))
        except BaseException as error:  # nothing may cross llama.cpp
            self._error = error
            return False
        return True

    def _weight_of(self, tensor: _Tensor) -> str | None:
        if tensor.op != self._matrix_product:
            return None
        # A copy on another device is called DEVICE#name#number.
        name = _Tensor.from_address(tensor.src[0]).name.decode(errors="replace")
        name = name.split("#")[1] if "#" in name else name
        return name if name in self._weights else None

    def _read(self, address: int) -> NDArray[np.float32]:
        """A tensor's numbers, from whatever device it lies on."""
        tensor = _Tensor.from_address(address)
        if tensor.type != _FLOAT32 or tensor.nb[0] != _FLOAT_BYTES:
            raise ModelError("llama.cpp computes with activations that are not float32, which cannot be read here.")
        size: int = self._ggml.ggml_nbytes(address)
        data = np.empty(size, dtype=np.uint8)
        self._ggml.ggml_backend_tensor_get(address, data.ctypes.data, 0, size)
        shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
        found: Any = np.ndarray(shape, np.float32, data.data, strides=strides)
        return found.reshape(-1, shape[-1])


@cache
def _checked_ggml() -> tuple[Any, int]:
    """The library, and its number for a matrix product. Raises ModelError where its structs are others than here."""
    ggml = _load_ggml()
    pool: Any = ggml.ggml_init(_Pool(1 << 20, None, False))
    if not pool:
        raise ModelError("ggml gives no memory for a first tensor; close other programs and try again.")
    try:
        weight: int = ggml.ggml_new_tensor_2d(pool, _FLOAT32, 8, 3)
        rows: int = ggml.ggml_new_tensor_2d(pool, _FLOAT32, 8, 5)
        ggml.ggml_set_name(weight, b"a name to look for")
        product: int = ggml.ggml_mul_mat(pool, weight, rows)
        number = _matrix_product(ggml, weight, rows, product)
    finally:
        ggml.ggml_free(pool)
    if number is None:
        version = ggml.ggml_version().decode(errors="replace")
        raise ModelError(
            f"ggml {version} lays its tensors out differently from ggml 0.25, so what a model computes cannot be "
            "observed; install llama-cpp-python 0.3.36."
        )
    return ggml, number


def _matrix_product(ggml: Any, weight: int, rows: int, product: int) -> int | None:
    """The number of the operation that made `product`; None where the layout known here does not fit the tensors."""
    views = {address: _Tensor.from_address(address) for address in (weight, rows, product)}
    shapes = {weight: [8, 3, 1, 1], rows: [8, 5, 1, 1], product: [3, 5, 1, 1]}
    for address, view in views.items():
        fits = (
            view.type == _FLOAT32
            and list(view.ne) == shapes[address]
            and view.nb[0] == ggml.ggml_element_size(address) == _FLOAT_BYTES
            and view.nb[1] == _FLOAT_BYTES * view.ne[0]
            and view.ne[0] * view.ne[1] == ggml.ggml_nelements(address)
            and view.data == ggml.ggml_get_data(address)
            and address + _Tensor.name.offset == ggml.ggml_get_name(address)
        )
        if not fits:
            return None
    found = views[product]
    named = views[weight].name == b"a name to look for" and ggml.ggml_op_name(found.op) == b"MUL_MAT"
    return found.op if named and list(found.src[:3]) == [weight, rows, None] else None


def _load_ggml() -> Any:
    """The part of llama.cpp that knows tensors, with the types of the functions used here. Raises ModelError."""
    try:
        package: Any = importlib.import_module("llama_cpp")
        loader: Any = importlib.import_module("llama_cpp._ctypes_extensions")
        ggml: Any = loader.load_shared_library("ggml-base", Path(package.__file__).parent / "lib")
        address, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
        signatures: dict[str, tuple[Any, list[Any]]] = {
            "ggml_init": (address, [_Pool]),
            "ggml_free": (None, [address]),
            "ggml_new_tensor_2d": (address, [address, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]),
            "ggml_set_name": (address, [address, text]),
            "ggml_mul_mat": (address, [address, address, address]),
            "ggml_get_name": (address, [address]),
            "ggml_get_data": (address, [address]),
            "ggml_op_name": (text, [ctypes.c_int]),
            "ggml_version": (text, []),
            "ggml_nelements": (ctypes.c_int64, [address]),
            "ggml_element_size": (size, [address]),
            "ggml_nbytes": (size, [address]),
            "ggml_backend_tensor_get": (None, [address, address, size, size]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(ggml, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"What a model computes cannot be observed with this llama-cpp-python ({error}); install version 0.3.36."
        ) from error
    return ggml
