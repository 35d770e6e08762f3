from __future__ import annotations

import sys

import pytest
import torch
from transformers import CwmForCausalLM

from nano.average import average, main
from tests.checkpoints import random_cwm


def test_the_mean_is_taken_weight_by_weight(tiny_cwm, tmp_path, monkeypatch):
    one = tiny_cwm()
    model = CwmForCausalLM.from_pretrained(one, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    other = tmp_path / "other"
    model.save_pretrained(other)
    monkeypatch.setattr(sys, "argv", ["average", str(one), str(other), str(tmp_path / "mean")])
    main()
    found = CwmForCausalLM.from_pretrained(tmp_path / "mean", dtype=torch.float32).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(found[name], weight / 3 * 2)
    assert (tmp_path / "mean" / "tokenizer.json").exists()


def test_models_of_different_shapes_have_no_mean(tiny_cwm, tmp_path):
    one = tiny_cwm()
    other = random_cwm(tmp_path / "wider", intermediate_size=80)
    with pytest.raises(ValueError, match="another shape"):
        average([one, other])
