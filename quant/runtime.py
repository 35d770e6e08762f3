"""A GGUF loaded in this process and evaluated through llama.cpp's low-level API: prefill, verify, roll back, fork.

The high-level `llama_cpp.Llama` is not used: it computes logits that nobody reads (n_ctx * n_vocab floats with a draft
model), points file descriptor 1 elsewhere while loading, and defaults to a context of 512 tokens and no GPU layers.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import psutil

from quant.errors import CancelledError, ContextFullError, ModelError
from quant.gguf_file import GgufFile, read_gguf
from quant.llama_log import ERROR_LEVEL
from quant.model import Part, Row, logit_rows
from quant.observe import Observer
from quant.shape import ARCHITECTURE, WINDOW, Shape, shape_of_gguf

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL_LAYERS = -1
"""As `gpu_layers`: offload every layer where llama.cpp was built for a GPU; on a CPU build it means nothing."""
CHUNK_TOKENS = 512
"""Tokens that one call of llama.cpp evaluates; a long prompt is fed in chunks and can be cancelled between them."""
VERIFY_TOKENS = 128
"""The most tokens whose logits one call can give; llama.cpp reserves this many rows of n_vocab floats."""
KV_TYPES = {"f32": "GGML_TYPE_F32", "f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}
"""How keys and values can be kept, and llama.cpp's names for it."""
PLAIN_ATTENTION_BYTES = 512 << 20
"""The most memory that the scores of a chunk may take."""
DEFAULT_CONTEXT = 8192
CONTEXT_STEP = 256
"""llama.cpp makes every context a multiple of this many tokens."""
_TOKEN_COST_OF_CPU = 0.15
_TOKEN_COST_OF_GPU = 0.01
_ABORTED = 2
"""What llama.cpp answers where it was told not to go on."""
_SPINS = "GOMP_SPINCOUNT"


class LocalVocabulary:
    """A model's tokens: text to ids with specials disabled, ids to bytes, and pieces to ids."""

    def __init__(self, handle: Any, library: Any) -> None:
        """Wrap llama.cpp's vocabulary `handle`; it lives as long as its model."""
        self._handle = handle
        self._library = library
        self.size: int = library.llama_vocab_n_tokens(handle)
        self._pieces: dict[int, bytes] = {}
        self._ids: dict[str, int] | None = None

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text: nothing is added, and no special token is ever made from characters."""
        data = text.encode()
        room = len(data) + 8
        while True:
            buffer = (self._library.llama_token * room)()
            count: int = self._library.llama_tokenize(self._handle, data, len(data), buffer, room, False, False)
            if count >= 0:
                return list(buffer[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of text that a token stands for, which may be part of a character; none for a special token."""
        known = self._pieces.get(token)
        if known is not None:
            return known
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count: int = self._library.llama_token_to_piece(self._handle, token, buffer, room, 0, False)
            if count >= 0:
                self._pieces[token] = buffer.raw[:count]
                return buffer.raw[:count]
            room = -count

    def spelling(self, token: int) -> str:
        """How the vocabulary spells a token, special or not; '' for an id beyond it."""
        if not 0 <= token < self.size:
            return ""
        return self._library.llama_vocab_get_text(self._handle, token).decode(errors="replace")

    def id_of_piece(self, piece: str) -> int | None:
        """The id of the entry spelled exactly `piece` in the vocabulary, or None."""
        if self._ids is None:
            self._ids = {self.spelling(token): token for token in reversed(range(self.size))}
        return self._ids.get(piece)


class Runtime:
    """One model, one context, and one or several sequences of evaluated tokens. Not for several threads at once.

    Own it with `with Runtime.open(...) as runtime`, or call `close()`. `prefill`, `extend`, `verify`, `roll_back` and
    `tokens` are about the first sequence; `evaluate`, `forget` and `fork` about any.
    """

    def __init__(
        self,
        library: Any,
        model: Any,
        context: Any,
        file: GgufFile,
        warnings: Sequence[str] = (),
        observer: Observer | None = None,
        sequences: int = 1,
        offloaded: bool = False,
        flash_attention: bool | None = None,
        kv_type: str = "f16",
    ) -> None:
        """Take ownership of llama.cpp's handles; use `open`."""
        self._library = library
        self._observer = observer
        self._model = model
        self._context = context
        self.path = file.path
        self.file = file
        self.warnings = tuple(warnings)
        """Sentences about this model that a person should read."""
        self.vocabulary = LocalVocabulary(library.llama_model_get_vocab(model), library)
        self.context: int = library.llama_n_ctx(context) // sequences
        """How many tokens fit into a sequence."""
        self.sequences = sequences
        self.settings = f"{kv_type} {flash_attention} {offloaded}"
        """How the model is loaded, as far as that can change its words in a close call."""
        self._never_alone = not offloaded and flash_attention is False
        self.window: int = library.llama_model_n_swa(model)
        """Tokens that windowed layers see; 0 if all layers see everything."""
        # llama.cpp says "?B" where it has no name for a size.
        self.description = _read_string(lambda buffer, room: library.llama_model_desc(model, buffer, room)).replace(
            " ?B", ""
        )
        self.token_cost = _TOKEN_COST_OF_GPU if offloaded else _TOKEN_COST_OF_CPU
        """What one more token adds to a call, in calls of a single token; about, and the same on every machine."""
        self.calls = 0
        """How often llama.cpp was asked to evaluate; on every machine the same measure of work saved."""
        self.checks_drafts = True
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._batch: Any = library.llama_batch_init(CHUNK_TOKENS, 0, 1)
        self._places: list[int] = []
        """The sequences that the batch's rows still name."""
        self._interrupted = (ctypes.c_char * 2)()
        """A text that is empty, or one character long once `interrupt` was called."""
        # llama.cpp asks after every step of its graph whether to go on. A function of C answers, since one of Python
        # would have to wait for this process's other threads thousands of times; `strlen` says 0 or 1.
        library.llama_set_abort_callback(
            context, ctypes.cast(_c_library().strlen, library.ggml_abort_callback), self._interrupted
        )

    @classmethod
    def open(
        cls,
        source: Path | str | GgufFile,
        *,
        context: int = DEFAULT_CONTEXT,
        gpu_layers: int = ALL_LAYERS,
        threads: int | None = None,
        kv_type: str = "f16",
        flash_attention: bool | None = None,
        whole_window: bool = False,
        sequences: int = 1,
        observe: Callable[[str, NDArray[np.float32]], None] | None = None,
    ) -> Runtime:
        """Load a GGUF, given by its path or by its head where that was read already, with room for `context` tokens.

        That room is each one's of `sequences`. `threads` defaults to the physical cores, one fewer for single tokens;
        `kv_type` is one of KV_TYPES; `flash_attention` None takes what is faster (see `plain_attention`);
        `whole_window` keeps all keys and values of windowed layers, too, so that rolling back never evaluates anything
        anew; `observe` is called during each evaluation with the name of every weight matrix and what it multiplies,
        float32 [tokens, columns]. Raises ModelError.
        """
        file = source if isinstance(source, GgufFile) else read_gguf(Path(source))
        path = file.path
        warnings: list[str] = []
        shape = _check_head(file)
        if file.architecture == "llama" and shape.context > WINDOW:
            context = min(context, WINDOW)
            warnings.append(
                f"{path} was converted as a plain llama, which knows no windows: it is a CWM for {WINDOW:,} tokens "
                "only, so it gets no longer context. `foretrace model convert` makes an exact build."
            )
        library = load_library()
        observer = Observer(library, [tensor.name for tensor in file.tensors], observe) if observe is not None else None
        with _LOADING:
            _LOG.clear()
            model_parameters = library.llama_model_default_params()
            model_parameters.n_gpu_layers = 2**31 - 1 if gpu_layers == ALL_LAYERS else gpu_layers
            model_parameters.use_extra_bufts = not built_with_amx(library)
            model = library.llama_model_load_from_file(str(path).encode(), model_parameters)
            if not model:
                raise ModelError(f"{path} cannot be loaded: {_complaint()} Download or build the file again.")
            trained: int = library.llama_model_n_ctx_train(model)
            parameters = library.llama_context_default_params()
            # In the steps of llama.cpp, which otherwise makes more room than its batches, and ends the process over it.
            parameters.n_ctx = -(-min(context, trained) // CONTEXT_STEP) * CONTEXT_STEP * sequences
            parameters.n_batch = parameters.n_ubatch = CHUNK_TOKENS
            parameters.n_outputs_max = VERIFY_TOKENS
            parameters.n_seq_max = sequences
            parameters.kv_unified = True  # sequences of different length share a call
            parameters.swa_full = whole_window
            parameters.type_k = parameters.type_v = getattr(library, KV_TYPES[kv_type])
            offloaded = bool(gpu_layers and library.llama_supports_gpu_offload())
            if flash_attention is None and kv_type in ("f32", "f16") and not offloaded:
                flash_attention = not plain_attention(shape, parameters.n_ctx)
            if flash_attention is not None:
                switch = "ENABLED" if flash_attention else "DISABLED"
                parameters.flash_attn_type = getattr(library, f"LLAMA_FLASH_ATTN_TYPE_{switch}")
            if observer is not None:
                parameters.cb_eval = observer.callback
            cores = psutil.cpu_count(logical=False) or 1
            # Single tokens leave one core to everyone else: where all are busy, each step waits for a thread that the
            # system has put aside. Chunks gain from every core and have fewer steps.
            parameters.n_threads = threads or max(1, cores - 1)
            parameters.n_threads_batch = threads or cores
            handle = library.llama_init_from_model(model, parameters)
            if not handle:
                library.llama_model_free(model)
                raise ModelError(
                    f"{path} loads, but a context of {context} tokens does not fit: {_complaint()} "
                    "Ask for a smaller context."
                )
        return cls(library, model, handle, file, warnings, observer, sequences, offloaded, flash_attention, kv_type)

    def __enter__(self) -> Runtime:
        """Use the runtime and close it at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Free the context and the model; a second call does nothing."""
        context, self._context = self._context, None
        model, self._model = self._model, None
        if context:
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(context)
        if model:
            self._library.llama_model_free(model)

    @property
    def tokens(self) -> Sequence[int]:
        """The tokens evaluated so far, in order."""
        return self._tokens[0]

    def tokens_of(self, sequence: int) -> Sequence[int]:
        """The tokens of any sequence."""
        return self._tokens[sequence]

    def metadata(self, key: str) -> str | None:
        """A value of the GGUF's metadata as text, or None."""
        value = _read_string(
            lambda buffer, room: self._library.llama_model_meta_val_str(self._model, key.encode(), buffer, room)
        )
        return value or None

    def prefill(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> NDArray[np.float32]:
        """Make `tokens` the whole evaluated sequence and return the logits (n_vocab,) after its last token.

        What the sequence shares with the tokens evaluated before is not evaluated again. Raises ContextFullError,
        CancelledError.
        """
        if not tokens:
            raise ValueError("a prompt needs at least one token")
        # The last token is evaluated again even when it is known, since only a call of llama.cpp gives its logits.
        shared = common_prefix(self.tokens, tokens[:-1])
        self.roll_back(shared)
        return self.extend(tokens[shared:], cancelled)

    def extend(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> NDArray[np.float32]:
        """Evaluate further tokens and return the logits (n_vocab,) after the last one.

        Raises ContextFullError, CancelledError.
        """
        self._check_room(0, len(tokens))
        rows: NDArray[np.float32] | None = None
        for start in range(0, len(tokens), CHUNK_TOKENS):
            if cancelled():
                raise CancelledError
            chunk = tokens[start : start + CHUNK_TOKENS]
            (rows,) = self.evaluate([Part(chunk, int(start + len(chunk) == len(tokens)))])
        assert rows is not None
        return np.array(rows[0], dtype=np.float32)

    def verify(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Evaluate at most VERIFY_TOKENS further tokens in one call.

        Returns the logits after each of them (len(tokens), n_vocab). Raises ContextFullError.
        """
        if not 0 < len(tokens) <= VERIFY_TOKENS:
            raise ValueError(f"between 1 and {VERIFY_TOKENS} tokens can be verified at once, not {len(tokens)}")
        return np.array(self.evaluate([Part(tokens, len(tokens))])[0], dtype=np.float32)

    def read(self, part: Part) -> Sequence[Row]:
        """Evaluate one part, as `evaluate` does; the next call overwrites the rows."""
        return logit_rows(self.evaluate([part])[0])

    def evaluate(self, parts: Sequence[Part]) -> list[NDArray[np.float32]]:
        """Evaluate tokens of one or several sequences in one call.

        All parts together have at most CHUNK_TOKENS tokens and VERIFY_TOKENS rows, each of another sequence. Returns
        each part's logits (rows, n_vocab), as llama.cpp keeps them: the next call overwrites them. Raises
        ContextFullError, ModelError, and CancelledError where `interrupt` was called.
        """
        if self._context is None:
            raise ModelError("The model was closed; open it again.")
        for part in parts:
            self._check_room(part.sequence, len(part.tokens))
        if self._never_alone and len(parts) == 1 and len(parts[0].tokens) == 1:
            parts = [self._with_its_neighbour(parts[0])]
        count = sum(len(part.tokens) for part in parts)
        rows = sum(part.rows for part in parts)
        if not 0 < count <= CHUNK_TOKENS or rows > VERIFY_TOKENS:
            raise ValueError(f"one call is for {CHUNK_TOKENS} tokens and {VERIFY_TOKENS} rows, not {count} and {rows}")
        self._fill_batch(parts, count)

        def decode() -> int:
            return self._library.llama_decode(self._context, self._batch)

        status = self._observer.run(decode) if self._observer is not None else decode()
        self.calls += 1
        if status == _ABORTED:
            memory = self._library.llama_get_memory(self._context)
            for part in parts:
                self._library.llama_memory_seq_rm(memory, part.sequence, len(self._tokens[part.sequence]), -1)
            raise CancelledError
        if status == 1:
            raise ContextFullError(f"llama.cpp found no room for {count} more tokens; ask for a larger context.")
        if status != 0:
            raise ModelError(f"llama.cpp could not evaluate {count} tokens (status {status}): {_complaint()}")
        for part in parts:
            self._tokens[part.sequence].extend(part.tokens)
        if not rows:
            return [np.empty((0, self.vocabulary.size), dtype=np.float32) for _ in parts]
        # All rows at once: with CWM's vocabulary, row after row takes ten times as long.
        pointer = self._library.llama_get_logits(self._context)
        logits = np.ctypeslib.as_array(pointer, shape=(rows, self.vocabulary.size))
        ends = np.cumsum([part.rows for part in parts])
        return [logits[end - part.rows : end] for part, end in zip(parts, ends, strict=True)]

    def interrupt(self) -> None:
        """Have the call under way, and later ones until `resume`, raise CancelledError; from any thread.

        On a CPU the call ends within one matrix product; on a GPU it is carried to its end, which is soon.
        """
        self._interrupted.value = b"1"

    def resume(self) -> None:
        """Evaluate again."""
        self._interrupted.value = b""

    def roll_back(self, length: int) -> None:
        """Forget all evaluated tokens from position `length` on.

        Where a window has already dropped what tokens from there on would need to see, the kept part is evaluated anew.
        """
        kept = list(self.tokens[:length])
        known = self.forget(length)
        if known < len(kept):
            self.extend(kept[known:])

    def forget(self, length: int, sequence: int = 0) -> int:
        """Forget a sequence's tokens from position `length` on, and return how many are left: less where it must be.

        That is none, where a window has already dropped what tokens from there on would need to see. Windows keep
        CHUNK_TOKENS tokens more than they need: going back so far, as over a draft, never has that price.
        """
        tokens = self._tokens[sequence]
        if length >= len(tokens):
            return len(tokens)
        memory = self._library.llama_get_memory(self._context)
        length = self.would_keep(length, sequence)
        if not length or not self._library.llama_memory_seq_rm(memory, sequence, length, -1):
            self._library.llama_memory_seq_rm(memory, sequence, -1, -1)
            length = 0
        del tokens[length:]
        return length

    def would_keep(self, length: int, sequence: int = 0) -> int:
        """How many tokens `forget` would leave."""
        held = len(self._tokens[sequence])
        if length >= held:
            return held
        memory = self._library.llama_get_memory(self._context)
        oldest: int = self._library.llama_memory_seq_pos_min(memory, sequence)
        needed = max(0, length + 1 - self.window) if self.window else 0
        return length if oldest <= needed else 0

    def state(self) -> bytes:
        """What the model has made of the tokens, in llama.cpp's own format; of windowed layers, what is in view."""
        room: int = self._library.llama_state_seq_get_size(self._context, 0)
        buffer = (ctypes.c_uint8 * room)()
        return bytes(memoryview(buffer)[: self._library.llama_state_seq_get_data(self._context, buffer, room, 0)])

    def restore(self, state: bytes, tokens: Sequence[int]) -> bool:
        """Hold these tokens as if they were evaluated, by the state of a runtime that is loaded alike.

        Returns False, and holds none, where llama.cpp does not take the state. It trusts what it takes: check before
        that these are the bytes that `state` gave.
        """
        self.forget(0)
        start = ctypes.cast(ctypes.c_char_p(state), ctypes.POINTER(ctypes.c_uint8))
        taken: int = self._library.llama_state_seq_set_data(self._context, start, len(state), 0)
        memory = self._library.llama_get_memory(self._context)
        if taken != len(state) or self._library.llama_memory_seq_pos_max(memory, 0) != len(tokens) - 1:
            self._library.llama_memory_seq_rm(memory, 0, -1, -1)
            return False
        self._tokens[0] = list(tokens)
        return True

    def fork(self, source: int, target: int, length: int) -> None:
        """Make the first `length` tokens of one sequence those of another, which share keys and values."""
        self.forget(0, target)
        memory = self._library.llama_get_memory(self._context)
        self._library.llama_memory_seq_cp(memory, source, target, 0, length)
        self._tokens[target] = self._tokens[source][:length]

    def _with_its_neighbour(self, part: Part) -> Part:
        """The part with the token before it, which is evaluated again.

        Without flash attention, a CPU adds up in another order where a call has a single token; from two on, all sizes
        give the same logits to the last bit, and so does any draft.
        """
        held = self._tokens[part.sequence]
        if not held:
            return part
        before = held[-1]
        self.forget(len(held) - 1, part.sequence)
        return Part([before, *part.tokens], part.rows, part.sequence)

    def _check_room(self, sequence: int, count: int) -> None:
        tokens = len(self._tokens[sequence]) + count
        if tokens > self.context:
            raise ContextFullError(
                f"{tokens} tokens do not fit into a context of {self.context}; ask for a larger one."
            )

    def _fill_batch(self, parts: Sequence[Part], count: int) -> None:
        batch = self._batch
        batch.n_tokens = count
        tokens = np.ctypeslib.as_array(batch.token, shape=(count,))
        positions = np.ctypeslib.as_array(batch.pos, shape=(count,))
        wanted = np.ctypeslib.as_array(batch.logits, shape=(count,))
        start = 0
        places: list[int] = []
        for part in parts:
            end = start + len(part.tokens)
            held = len(self._tokens[part.sequence])
            tokens[start:end] = part.tokens
            positions[start:end] = range(held, held + len(part.tokens))
            wanted[start:end] = 0
            wanted[end - part.rows : end] = 1
            places += [part.sequence] * len(part.tokens)
            start = end
        for index, place in enumerate(places):
            if index >= len(self._places) or self._places[index] != place:
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = place
        self._places[:count] = places


def plain_attention(shape: Shape, cells: int) -> bool:
    """Whether a CPU shall do without flash attention: unless the scores of a chunk would take a lot of memory.

    In calls of 2 to 63 tokens, which is what drafts are, llama.cpp's flash attention takes several times as long on a
    CPU (`python -m bench.predict` shows the cost of a call by its tokens).
    """
    return shape.heads * cells * CHUNK_TOKENS * 4 <= PLAIN_ATTENTION_BYTES


def _check_head(file: GgufFile) -> Shape:
    """The model's shape. Raises ModelError for what llama.cpp, instead of refusing it, would end the process over."""
    shape = shape_of_gguf(file)
    tokens: Any = file.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(set(cast("list[str]", tokens))) != len(cast("list[str]", tokens)):
        raise ModelError(f"{file.path} has a piece twice in its vocabulary; download or build it again.")
    epsilon = file.metadata.get(f"{file.architecture}.attention.layer_norm_rms_epsilon", 0.0)
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise ModelError(f"{file.path} has an impossible norm epsilon ({epsilon}); download or build it again.")
    turned = file.metadata.get(f"{file.architecture}.rope.dimension_count", shape.head_size)
    if file.architecture == ARCHITECTURE and turned != shape.head_size:
        raise ModelError(
            f"{file.path} turns {turned} of {shape.head_size} dimensions of each head, and CWM all; build it again."
        )
    if file.architecture == ARCHITECTURE and not any(shape.windowed):
        raise ModelError(f"{file.path} gives no layer a window, and a CWM three in four; build it again.")
    return shape


_LOADING = threading.Lock()
_LOG: list[str] = []
"""llama.cpp's errors since the last load began; it prints nothing."""
_callback: Any = None


def load_library() -> Any:
    """Import llama_cpp on first use and take over its log, which would otherwise go to standard error.

    Raises ModelError.
    """
    global _callback
    try:
        with _short_waits():
            library: Any = importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama-cpp-python does not load ({error}); reinstall it: pip install llama-cpp-python"
        ) from error
    with _LOADING:
        if _callback is None:
            # ctypes keeps no reference of its own: without the global, llama.cpp would call freed memory.
            _callback = library.llama_log_callback(_keep_errors)
            library.llama_log_set(_callback, ctypes.c_void_p(0))
            library.llama_backend_init()
    return library


def built_with_amx(library: Any) -> bool:
    """Whether llama.cpp multiplies with Intel's AMX, unless it is told to leave out all rearranged weights.

    GCC 12 compiles that to code that ends the process: for its <amxtileintrin.h>, `ldtilecfg` reads 8 of the 64 bytes
    that it does, so what is written to the others is optimized away. Other compilers' builds cannot be told from it.
    """
    return b"AMX_INT8 = 1" in library.llama_print_system_info()


@contextmanager
def _short_waits() -> Generator[None, None, None]:
    """Let GNU's OpenMP, where it is loaded meanwhile, sleep soon where its threads wait for each other.

    By default they spin for milliseconds, which beside other busy processes makes llama.cpp three times slower
    (`python -m bench.busy`), and beside another that spins a hundred times. The library reads the environment once;
    programs that are started later must not find it changed.
    """
    if _SPINS in os.environ:
        yield
        return
    os.environ[_SPINS] = "3000"
    try:
        yield
    finally:
        del os.environ[_SPINS]


def _c_library() -> Any:
    """The C library of this process."""
    return ctypes.CDLL("msvcrt" if os.name == "nt" else None)


def _keep_errors(level: int, text: bytes, _data: object) -> None:
    if level == ERROR_LEVEL:
        _LOG.append(text.decode(errors="replace").strip())


def _complaint() -> str:
    """What llama.cpp logged first as an error (later ones only say that the load failed), with a full stop."""
    text = _LOG[0] if _LOG else "llama.cpp gives no reason"
    return f"{text.rstrip('.')}."


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    limit = min(len(left), len(right))
    for index in range(limit):
        if left[index] != right[index]:
            return index
    return limit


def _read_string(read: Callable[[Any, int], int]) -> str:
    """Call one of llama.cpp's `snprintf`-like readers; an absent value gives ''."""
    room = 256
    while True:
        buffer = ctypes.create_string_buffer(room)
        count = read(buffer, room)
        if count < room:
            return buffer.value.decode(errors="replace")
        room = count + 1
