"""Reads measured points of NVIDIA's aiconfigurator (Apache-2.0), as kept in the data pack.

Two kinds: end-to-end runs of a closed loop of N clients (mean TTFT and TPOT), and latencies of single
kernels, which are summed here over the layers of one model.
"""

from __future__ import annotations

import csv
import lzma
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_KERNELS = "vllm_0.24.0"


def default_data_folder() -> Path:
    """The data pack: `$SAGESCHED_DATA`, else `../shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SAGESCHED_DATA", beside))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Which end-to-end runs: one model, GPU type, backend and precision, without tensor parallelism."""

    model: str
    system: str
    backend: str
    version: str
    precision: str


@dataclass(frozen=True, slots=True)
class Run:
    """One end-to-end run: equal requests of `num_clients` clients, each sending its next when one is done."""

    prompt_tokens: int
    output_tokens: int
    num_clients: int
    ttft_s: float
    tpot_s: float


def read_runs(data: Path, series: Series) -> list[Run]:
    """All runs of a series, by prompt, output, clients."""
    wanted = {
        "model_path": series.model,
        "system": series.system,
        "backend": series.backend,
        "backend_version": series.version,
        "precision": series.precision,
        "tp_size": "1",
        "mode": "agg",
    }
    runs = [
        Run(
            int(row["isl"]),
            int(row["osl"]),
            int(row["batch_size"]),
            float(row["silicon_ttft_ms"]) / 1e3,
            float(row["silicon_tpot_ms"]) / 1e3,
        )
        for row in _rows(data / "aiconfigurator_perf" / "silicon_sample_e2e_ttft_tpot.csv.xz")
        if all(row[column] == value for column, value in wanted.items())
    ]
    return sorted(runs, key=lambda run: (run.prompt_tokens, run.output_tokens, run.num_clients))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """The shapes of a dense model, as far as its kernels need them."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int


LLAMA_8B = Transformer(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, intermediate=14336, vocabulary=128256
)


class KernelTables:
    """Seconds of one iteration of a model in bfloat16, summed from kernel latencies of one GPU type.

    Norms, sampling and the host's part are not in the tables, so sums run a little below whole iterations.
    """

    def __init__(self, data: Path, system: str, model: Transformer) -> None:
        """Read the tables of `system`, for example `h100_sxm`."""
        self._model = model
        self._folder = data / "aiconfigurator_perf"
        self._system = system
        self._gemm = self._read_gemm()
        self._generation = self._read_attention("generation")
        self._context = self._read_attention("context")

    def generation_points(self) -> Iterator[tuple[int, int, float]]:
        """Each measured (sequences, context of each, seconds of the iteration)."""
        for (batch, _, step), attention_ms in self._generation.items():
            yield batch, step + 1, self._dense_s(batch, batch) + self._model.layers * attention_ms / 1e3

    def prefill_points(self) -> Iterator[tuple[int, int, float]]:
        """Each measured (prompts, tokens of each, seconds of the iteration)."""
        for (batch, tokens, _), attention_ms in self._context.items():
            yield (
                batch,
                tokens,
                self._dense_s(batch * tokens, batch) + self._model.layers * attention_ms / 1e3,
            )

    def _dense_s(self, tokens: int, outputs: int) -> float:
        """All matrix products: every layer for `tokens` tokens, the head for `outputs` of them."""
        shape = self._model
        heads = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        layer_ms = (
            self._product_ms(tokens, heads, shape.hidden)
            + self._product_ms(tokens, shape.hidden, shape.heads * shape.head_dim)
            + self._product_ms(tokens, 2 * shape.intermediate, shape.hidden)
            + self._product_ms(tokens, shape.hidden, shape.intermediate)
        )
        return (shape.layers * layer_ms + self._product_ms(outputs, shape.vocabulary, shape.hidden)) / 1e3

    def _product_ms(self, m: int, n: int, k: int) -> float:
        """Latency of an m x k by k x n product; where n or k was not measured, by the nearest n times k."""
        measured = self._gemm.get((n, k))
        scale = 1.0
        if measured is None:
            near = min(
                (shape for shape in self._gemm if shape[0] == n or shape[1] == k),
                key=lambda shape: abs(np.log(shape[0] * shape[1] / (n * k))),
            )
            measured, scale = self._gemm[near], n * k / (near[0] * near[1])
        sizes = sorted(measured)
        return scale * float(np.interp(m, sizes, [measured[size] for size in sizes]))

    def _read_gemm(self) -> dict[tuple[int, int], dict[int, float]]:
        table: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for row in self._table("gemm"):
            if row["gemm_dtype"] == "bfloat16":
                table[int(row["n"]), int(row["k"])][int(row["m"])] = float(row["latency"])
        return table

    def _read_attention(self, phase: str) -> dict[tuple[int, int, int], float]:
        """Latency in ms by (batch, tokens of input, tokens cached before)."""
        shape = {
            "num_heads": str(self._model.heads),
            "num_key_value_heads": str(self._model.kv_heads),
            "head_dim": str(self._model.head_dim),
            "kv_cache_dtype": "bfloat16",
            "window_size": "0",
        }
        return {
            (int(row["batch_size"]), int(row["isl"]), int(row["step"])): float(row["latency"])
            for row in self._table(f"{phase}_attention")
            if all(row[column] == value for column, value in shape.items())
        }

    def _table(self, kernel: str) -> Iterator[dict[str, str]]:
        return _rows(self._folder / f"{self._system}__{_KERNELS}__{kernel}_perf.csv.xz")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with lzma.open(path, "rt", newline="") as lines:
        yield from csv.DictReader(lines)
