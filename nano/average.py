"""The mean of checkpoints of one shape, weight by weight: `python -m nano.average A B OUT`.

What a further training made a model forget often comes back in the mean of before and after (Wortsman et al. 2022,
arXiv 2109.01903), at no cost; nano/LOG.md has where it did.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import CwmForCausalLM

from nano.base import copy_beside_weights


@torch.no_grad()
def average(folders: Sequence[Path]) -> Any:
    """The model whose weights are the means of those in `folders`. Raises ValueError where shapes differ."""
    first, *others = (CwmForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict() for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if {name: each.shape for name, each in other.items()} != {name: each.shape for name, each in first.items()}:
            raise ValueError(f"{folder} has another shape than {folders[0]}; name checkpoints of one model")
    mean: Any = CwmForCausalLM.from_pretrained(folders[0], dtype=torch.float32)
    mean.load_state_dict({name: torch.stack([each[name] for each in (first, *others)]).mean(0) for name in first})
    return mean


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        average(options.folders).save_pretrained(options.out)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    copy_beside_weights(options.folders[0], options.out)


if __name__ == "__main__":
    main()
