"""Results as tables for the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(results: Mapping[str, Any]) -> str:
    """Markdown: what was measured on, speed by context, and memory and loading."""
    contexts: Sequence[Mapping[str, Any]] = results["contexts"]
    model, machine, load = results["model"], results["machine"], results["load"]
    random = ", random weights of that shape (speed only)" if model["random"] else ""
    limit = machine["bandwidth_bytes_per_s"]
    lines = [
        f"{model['shape']} as {model['type']} ({model['file_bytes'] / 1e9:.2f} GB){random}, on {machine['device']}"
        + (f" (memory: {limit / 1e9:,.0f} GB/s {machine['bandwidth_source']})" if limit else "")
        + f", llama-cpp-python {machine['llama_cpp']}, KV in {results['kv_type']}, commit {machine['commit'][:9]}.",
        "",
        _row("tokens in the context", [f"{each['context_tokens']:,}" for each in contexts]),
        "|---|" + "---:|" * len(contexts),
        _row("prefill, tokens/s", [f"{each['prefill_tokens_per_s']:,.0f}" for each in contexts]),
        _row("its share of the compute limit", [_percent(each["prefill_share_of_compute"]) for each in contexts]),
        _row("decode, tokens/s", [_rate(each["decode_tokens_per_s"]) for each in contexts]),
        _row(
            "its share of the memory-bandwidth limit",
            [_percent(each["decode_share_of_bandwidth"]) for each in contexts],
        ),
    ]
    for index, verified in enumerate(contexts[0]["verify"] if contexts else ()):
        costs = [each["verify"][index] for each in contexts]
        label = f"verify {verified['drafted']} drafted, ms (times the cost of 1)"
        lines.append(_row(label, [f"{cost['ms']:,.1f} ({cost['relative']:.2f})" for cost in costs]))
    lines += ["", "| memory and loading | |", "|---|---:|"]
    for each in results["memory"]:
        how = "everything kept" if each["whole_window"] else "windows only"
        lines.append(_row(f"KV of {each['context_tokens']:,} tokens, {how}", [_size(each["kv_bytes"])]))
    if load:
        cold = f"{load['cold_s']:.1f} s ({load['cold_bytes_per_s'] / 1e9:.2f} GB/s)"
        lines.append(_row(f"load, {_cold(load['cold_cached_share'])}", [cold]))
        warm = f"{load['warm_s']:.1f} s ({load['warm_bytes_per_s'] / 1e9:.2f} GB/s)"
        lines.append(_row("load, file in the page cache", [warm]))
    return "\n".join(lines)


def _row(label: str, cells: Sequence[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _cold(cached: float | None) -> str:
    if cached is None:
        return "after asking the kernel to drop the file"
    return "file not in memory" if cached < 0.01 else f"{cached:.0%} of the file in memory"


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.0%}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"
