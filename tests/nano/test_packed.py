from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from transformers import CwmForCausalLM

from nano.packed import packed, unpacked
from nano.rounding import is_rounded, rounded


def test_weights_on_the_grid_come_back_exactly(tiny_cwm):
    model = CwmForCausalLM.from_pretrained(tiny_cwm())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(rounded(parameter) if is_rounded(name, parameter) else parameter.bfloat16())
    again = unpacked(packed(model))
    assert again.config.to_dict() == model.config.to_dict()
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name


def test_a_checkpoint_is_carried_in_parts(tiny_cwm, tmp_path: Path):
    checkpoint: Path = tiny_cwm()

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nano.packed", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("pack", checkpoint, tmp_path / "pack").returncode == 0
    assert run("unpack", tmp_path / "pack", tmp_path / "again").returncode == 0
    was = CwmForCausalLM.from_pretrained(checkpoint, dtype="float32").state_dict()
    found = CwmForCausalLM.from_pretrained(tmp_path / "again", dtype="float32").state_dict()
    for name, weight in found.items():
        expected = rounded(was[name]) if is_rounded(name, weight) else was[name].bfloat16().float()
        assert torch.allclose(weight, expected, atol=1e-6), name
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (checkpoint / "tokenizer.json").read_bytes()
    again = run("unpack", tmp_path / "pack", tmp_path / "again")
    assert again.returncode == 2 and "is not empty" in again.stderr
    missing = run("pack", tmp_path / "none", tmp_path / "other")
    assert missing.returncode == 2 and "is neither a GGUF nor a checkpoint" in missing.stderr
    nothing = run("unpack", checkpoint, tmp_path / "other")
    assert nothing.returncode == 2 and "holds no weights" in nothing.stderr
