"""What quantizing costs: the builds of a checkpoint side by side, on held-out programs.

    python -m nano.builds CHECKPOINT [--types F16 Q8_0 Q5_0 ...] [--programs N]

Each build is made in a temporary folder and shown the real runs (forced, without constraints): share of tokens and of
whole frames that are its first choice, and the loss.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from nano.evaluate import HELD_OUT_SEED
from nano.export import TYPES, quantize, write_gguf
from nano.tokenizer import SegmentTokenizer
from nano.train import Document, documents
from quant.runtime import VERIFY_TOKENS, Runtime
from quant.specials import Special

LONGEST = 1024


def measure(path: Path, held_out: list[Document], frame_id: int) -> tuple[float, float, float]:
    """Loss per token, share of tokens and share of frames right."""
    losses: list[float] = []
    right: list[bool] = []
    frames: list[bool] = []
    with Runtime.open(path, context=LONGEST) as runtime:
        for document in held_out:
            targets = document.ids[document.prompt :]
            rows = [runtime.prefill(document.ids[: document.prompt])[None]]
            for start in range(0, len(targets) - 1, VERIFY_TOKENS):
                rows.append(runtime.verify(targets[start : min(start + VERIFY_TOKENS, len(targets) - 1)]))
            logits = np.concatenate(rows)
            shifted = logits - logits.max(axis=1, keepdims=True)
            picked = shifted[np.arange(len(targets)), targets]
            losses += (np.log(np.exp(shifted).sum(axis=1)) - picked).tolist()
            correct = (logits.argmax(axis=1) == np.array(targets)).tolist()
            right += correct
            whole = True
            for token, good in zip(targets, correct, strict=True):
                whole = whole and good
                if token == frame_id:
                    frames.append(whole)
                    whole = True
    return sum(losses) / len(losses), sum(right) / len(right), sum(frames) / len(frames)


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--types", nargs="+", default=["F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"], choices=TYPES)
    parser.add_argument("--programs", type=int, default=60)
    options = parser.parse_args()
    tokenizer = SegmentTokenizer(Tokenizer.from_file(str(options.checkpoint / "tokenizer.json")))
    held_out = list(itertools.islice(documents(tokenizer, HELD_OUT_SEED, True, LONGEST), options.programs))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "F16.gguf"
        write_gguf(options.checkpoint, whole)
        for kind in options.types:
            path = Path(folder) / f"{kind}.gguf"
            if path != whole:
                quantize(whole, path, kind)
            loss, token, frame = measure(path, held_out, tokenizer.specials[Special.FRAME])
            size = path.stat().st_size / 1e6
            print(f"{kind:8} {size:6.1f} MB  loss {loss:.4f}  tokens {token:.2%}  frames {frame:.1%}", flush=True)


if __name__ == "__main__":
    main()
