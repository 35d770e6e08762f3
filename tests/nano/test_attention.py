from __future__ import annotations

import pytest
import torch
from transformers import CwmConfig, CwmForCausalLM

from nano import attention


@pytest.mark.parametrize("window", [2048, 300])
def test_blocks_are_what_transformers_computes_itself(window):
    attention.register()
    torch.manual_seed(1)
    config = CwmConfig(
        vocab_size=64, hidden_size=48, intermediate_size=96, num_hidden_layers=4, num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, sliding_window=window, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = CwmForCausalLM(config)
    ids = torch.randint(64, (2, 2 * attention.BLOCK + 100))
    found = {}
    for name in ("eager", attention.NAME):
        model.config._attn_implementation = name
        model.zero_grad()
        logits = model(input_ids=ids, use_cache=False).logits
        logits.logsumexp(-1).sum().backward()
        found[name] = [logits.detach(), *(parameter.grad for parameter in model.parameters())]
    for ours, theirs in zip(found[attention.NAME], found["eager"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
