"""Takes a GPU as an LLM engine does: decode steps of a Llama-3-8B-shaped network, a prefill now and then.

    python3 bench/gpu/engine.py

Needs torch and 24 GB of GPU memory. Weights are random, which costs the device the same. A step decodes one
token for 64 sequences of 1,024 tokens; after every eighth comes a prefill of 2,048 tokens. Both are CUDA
graphs, so that the device never waits for this process. Prints a line when it runs; then for each line on
stdin one line of JSON about the decode steps since the last, without those that a prefill followed: `p50` and
`p99` in ms, `per_s`.
"""

from __future__ import annotations

import json
import select
import sys
import time

import torch
from torch.nn import functional

LAYERS, HIDDEN, INNER, VOCABULARY = 32, 4096, 14_336, 128_256
HEADS, KV_HEADS, HEAD = 32, 8, 128
SEQUENCES, CONTEXT, CHUNK = 64, 1024, 2048
STEPS_PER_PREFILL = 8
SCALE = 0.02


class Layer:
    """Weights of one transformer block, and its part of the KV cache."""

    def __init__(self) -> None:
        kv = KV_HEADS * HEAD
        self.joint = torch.randn(HIDDEN, HIDDEN + 2 * kv) * SCALE
        self.out = torch.randn(HIDDEN, HIDDEN) * SCALE
        self.gate_up = torch.randn(HIDDEN, 2 * INNER) * SCALE
        self.down = torch.randn(INNER, HIDDEN) * SCALE
        self.keys, self.values = (torch.randn(SEQUENCES, KV_HEADS, CONTEXT, HEAD) for _ in range(2))

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """One token of each sequence, (SEQUENCES, HIDDEN)."""
        query, key, value = self._projected(x, SEQUENCES, 1)
        self.keys[:, :, -1:], self.values[:, :, -1:] = key, value
        seen = functional.scaled_dot_product_attention(query, self.keys, self.values, enable_gqa=True)
        return self._after(x, seen)

    def prefill(self, x: torch.Tensor) -> torch.Tensor:
        """A prompt by itself, (CHUNK, HIDDEN)."""
        query, key, value = self._projected(x, 1, CHUNK)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self._after(x, seen)

    def _projected(self, x: torch.Tensor, batch: int, length: int) -> tuple[torch.Tensor, ...]:
        joint = functional.rms_norm(x, (HIDDEN,)) @ self.joint
        parts = joint.split([HEADS * HEAD, KV_HEADS * HEAD, KV_HEADS * HEAD], dim=-1)
        return tuple(part.reshape(batch, length, -1, HEAD).transpose(1, 2) for part in parts)

    def _after(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        x = x + seen.transpose(1, 2).reshape(-1, HIDDEN) @ self.out
        gate, up = (functional.rms_norm(x, (HIDDEN,)) @ self.gate_up).chunk(2, dim=-1)
        return x + (functional.silu(gate) * up) @ self.down


def recorded(layers: list[Layer], to_words: torch.Tensor, rows: int, step: str) -> torch.cuda.CUDAGraph:
    """A CUDA graph of one step of the whole network."""
    x = torch.randn(rows, HIDDEN)

    def run() -> torch.Tensor:
        y = x
        for layer in layers:
            y = getattr(layer, step)(y)
        return (y[-SEQUENCES:] @ to_words).argmax(dim=-1)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def report(steps_ms: list[float], since: float) -> None:
    """One line about these steps."""
    times = torch.tensor(steps_ms, dtype=torch.float32, device="cpu")
    told = {
        "p50": float(times.quantile(0.5)),
        "p99": float(times.quantile(0.99)),
        "per_s": len(steps_ms) / (time.perf_counter() - since),
    }
    print(json.dumps(told), flush=True)


def main() -> None:
    torch.set_grad_enabled(False)
    torch.set_default_device("cuda")
    torch.set_default_dtype(torch.bfloat16)
    layers = [Layer() for _ in range(LAYERS)]
    to_words = torch.randn(HIDDEN, VOCABULARY) * SCALE
    decode = recorded(layers, to_words, SEQUENCES, "decode")
    prefill = recorded(layers, to_words, CHUNK, "prefill")
    print("running", flush=True)
    steps_ms: list[float] = []
    since, number = time.perf_counter(), 0
    while True:
        started_at = time.perf_counter()
        decode.replay()
        number += 1
        if number % STEPS_PER_PREFILL == 0:
            prefill.replay()
        torch.cuda.synchronize()
        if number % STEPS_PER_PREFILL:
            steps_ms.append(1e3 * (time.perf_counter() - started_at))
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            report(steps_ms, since)
            steps_ms, since = [], time.perf_counter()


if __name__ == "__main__":
    main()
