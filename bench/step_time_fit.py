"""Fits the step-time coefficients of the profiles h100-8b, h200-8b and h100-32b to measured points.

The model: an iteration takes base + a * sequences + b * cached tokens + p * prompt tokens. It is fitted by
non-negative least squares on relative errors.

TPOT, closed loop of N clients, prompts I, outputs O. While a request makes its O - 1 later tokens, each of
the others is prefilled about once, so TPOT = base + a N + b N (I + O / 2) + p I (N - 1) / (O - 1), linear in
all four. Prefill is therefore measured by TPOT too, and without the queueing that TTFT includes.

TTFT of such a loop tells how many prompts are prefilled together, which belongs to the load generator: its
clients run in waves. Three numbers describe that, fitted per series:
TTFT = p I (k0 + k1 N) + k2 O TPOT / N. The last is a start-up share: a few requests waited for one whole
generation, in a run whose length grows with N.

Runs whose N requests do not fit into KV memory together are left out of everything: they measure a queue.

H200: no bfloat16 end-to-end runs exist. Kernel latencies, summed over the layers, exist for both GPUs, so
h200-8b is h100-8b times the ratio of the coefficients fitted to the kernel sums. FP8 runs of another backend
serve as a check from outside.

Errors: on points left out of the fit, pooled over seeded random splits. Coefficients: fitted to all points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from aiconfigurator import LLAMA_8B, KernelTables, Run, Series, default_data_folder, read_runs
from scipy.optimize import nnls

from sagesched_emulator.profiles import PROFILES
from sagesched_emulator.step_time import StepTime

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

H100_8B = Series(
    model="meta-llama/Llama-3.1-8B-Instruct",
    system="h100_sxm",
    backend="trtllm",
    version="1.0.0rc3",
    precision="",
)
H100_32B = Series(
    model="Qwen/Qwen3-32B", system="h100_sxm", backend="trtllm", version="1.0.0rc3", precision="fp8"
)
H200_8B_FP8 = Series(
    model="meta-llama/Llama-3.1-8B-Instruct",
    system="h200_sxm",
    backend="sglang",
    version="0.5.6.post2",
    precision="fp8",
)

LEFT_OUT_SHARE = 0.25
MAX_SEQUENCES = 256
MAX_CACHED_TOKENS = 450_000  # what an 80 GiB card holds beside the 8B model
PREFILL_TOKENS = (
    512,
    8192,
)  # an iteration's prefill: below, it hides behind the weights; above, it is not allowed


@dataclass(frozen=True)
class Errors:
    """Absolute relative errors on left-out points."""

    name: str
    values: Array

    def __str__(self) -> str:
        """Median and p90 in percent."""
        median, p90 = np.quantile(self.values, [0.5, 0.9]) * 100
        return f"{self.name:<24} median {median:5.1f} %   p90 {p90:5.1f} %"


def fit(design: Array, seconds: Array) -> Array:
    """Non-negative coefficients with the least squared relative error; one column each."""
    relative = design / seconds[:, None]
    scale = np.maximum(np.abs(relative).max(axis=0), 1e-300)
    solution, _ = nnls(relative / scale, np.ones(len(seconds)))
    return np.asarray(solution / scale, dtype=np.float64)


def left_out(
    num_points: int, splits: int, seed: int, errors: Callable[[Indices, Indices], Sequence[Array]]
) -> list[Array]:
    """Pools, over random splits, what `errors(fitted, left out)` returns for each measure."""
    rng = np.random.default_rng(seed)
    pooled: list[list[Array]] = []
    for _ in range(splits):
        order = rng.permutation(num_points)
        cut = round(num_points * LEFT_OUT_SHARE)
        pooled.append(list(errors(order[cut:], order[:cut])))
    return [np.concatenate(measure) for measure in zip(*pooled, strict=True)]


def tpot_design(runs: Sequence[Run]) -> Array:
    return np.array(
        [
            [
                1,
                run.num_clients,
                run.num_clients * (run.prompt_tokens + run.output_tokens / 2),
                run.prompt_tokens * (run.num_clients - 1) / (run.output_tokens - 1),
            ]
            for run in runs
        ],
        dtype=np.float64,
    )


def ttft_design(runs: Sequence[Run], tpot_s: Array, prefill_s_per_token: float) -> Array:
    prefill_s = np.array([run.prompt_tokens * prefill_s_per_token for run in runs])
    clients = np.array([run.num_clients for run in runs])
    generation_s = np.array([run.output_tokens for run in runs]) * tpot_s
    return np.column_stack([prefill_s, prefill_s * clients, generation_s / clients])


def fit_end_to_end(runs: Sequence[Run], splits: int, seed: int) -> tuple[StepTime, list[Errors]]:
    design = tpot_design(runs)
    tpot_s = np.array([run.tpot_s for run in runs])
    ttft_s = np.array([run.ttft_s for run in runs])

    def errors(fitted: Indices, rest: Indices) -> list[Array]:
        coefficients = fit(design[fitted], tpot_s[fitted])
        predicted = design @ coefficients
        waves = ttft_design(runs, predicted, coefficients[3])
        load = fit(waves[fitted], ttft_s[fitted])
        return [
            np.abs(predicted[rest] / tpot_s[rest] - 1),
            np.abs(waves[rest] @ load / ttft_s[rest] - 1),
        ]

    tpot, ttft = left_out(len(runs), splits, seed, errors)
    return StepTime(*fit(design, tpot_s)), [Errors("TPOT", tpot), Errors("TTFT", ttft)]


def kernel_points(data: Path, system: str) -> tuple[Array, Array]:
    """Design rows and seconds of iterations summed from kernels; generation first, then prefill."""
    tables = KernelTables(data, system, LLAMA_8B)
    points = [
        (1, batch, batch * context, 0, seconds)
        for batch, context, seconds in tables.generation_points()
        if batch <= MAX_SEQUENCES and context >= 64 and batch * context <= MAX_CACHED_TOKENS
    ] + [
        (1, batch, 0, batch * tokens, seconds)
        for batch, tokens, seconds in tables.prefill_points()
        if PREFILL_TOKENS[0] <= batch * tokens <= PREFILL_TOKENS[1]
    ]
    table = np.array(points, dtype=np.float64)
    return table[:, :4], table[:, 4]


def fit_kernels(design: Array, seconds: Array, splits: int, seed: int) -> tuple[StepTime, list[Errors]]:
    prefill = design[:, 3] > 0

    def errors(fitted: Indices, rest: Indices) -> list[Array]:
        relative = np.abs(design @ fit(design[fitted], seconds[fitted]) / seconds - 1)
        return [relative[rest][~prefill[rest]], relative[rest][prefill[rest]]]

    generation, context = left_out(len(seconds), splits, seed, errors)
    step_time = StepTime(*fit(design, seconds))
    return step_time, [Errors("iteration of generation", generation), Errors("iteration of prefill", context)]


def scaled(step_time: StepTime, by: StepTime, over: StepTime) -> StepTime:
    """Each coefficient times the ratio of two others."""
    return StepTime(
        *(value * new / old for value, new, old in zip(*map(astuple, (step_time, by, over)), strict=True))
    )


def fits_memory(run: Run, profile_name: str) -> bool:
    return run.num_clients * (run.prompt_tokens + run.output_tokens) <= PROFILES[profile_name].kv_tokens


def report(title: str, step_time: StepTime, errors: Sequence[Errors] = ()) -> None:
    print(f"\n{title}")
    print(
        f"  base {step_time.base_s * 1e3:.3f} ms, sequence {step_time.per_sequence_s * 1e6:.2f} us, "
        f"cached token {step_time.per_cached_token_s * 1e9:.2f} ns, "
        f"prompt token {step_time.prefill_s_per_token * 1e6:.2f} us"
    )
    for measure in errors:
        print(f"  left out: {measure}")


def shipped(name: str, fitted: StepTime) -> bool:
    """Whether the profile carries these coefficients (to three digits), and says so."""
    same = np.allclose(astuple(PROFILES[name].step_time), astuple(fitted), rtol=2e-3, atol=1e-12)
    print(f"  profile {name}: {'as fitted' if same else f'DIFFERS, it has {PROFILES[name].step_time}'}")
    return bool(same)


def end_to_end(data: Path, name: str, series: Series, splits: int, seed: int) -> tuple[StepTime, bool]:
    measured = read_runs(data, series)
    runs = [run for run in measured if fits_memory(run, name)]
    step_time, errors = fit_end_to_end(runs, splits, seed)
    precision = series.precision or "bfloat16"
    report(f"{name}, {len(runs)} runs of {series.backend} {series.version} in {precision}", step_time, errors)
    print(f"  not used, KV memory full: {len(measured) - len(runs)} runs")
    return step_time, shipped(name, step_time)


def h200(data: Path, h100_8b: StepTime, splits: int, seed: int) -> bool:
    sums = {}
    for system in ("h100_sxm", "h200_sxm"):
        design, seconds = kernel_points(data, system)
        sums[system], errors = fit_kernels(design, seconds, splits, seed)
        report(f"8B on {system}, {len(seconds)} iterations summed from kernels", sums[system], errors)
    step_time = scaled(h100_8b, sums["h200_sxm"], sums["h100_sxm"])
    report("h200-8b, which is h100-8b times the ratio of the kernel sums", step_time)
    same = shipped("h200-8b", step_time)
    runs = read_runs(data, H200_8B_FP8)
    measured = np.array([run.tpot_s for run in runs])
    outside = tpot_design(runs) @ np.array(astuple(step_time)) / measured - 1
    print(f"  outside check, {len(runs)} runs of sglang in FP8: {Errors('TPOT', np.abs(outside))}")
    return same


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="folder of the data pack")
    parser.add_argument("--seed", type=int, default=0, help="of the random splits")
    parser.add_argument("--splits", type=int, default=200, help="random splits pooled for the errors")
    arguments = parser.parse_args()
    if not (arguments.data / "aiconfigurator_perf").is_dir():
        parser.error(f"{arguments.data} has no folder aiconfigurator_perf: name the data pack with --data")
    print(f"errors on {LEFT_OUT_SHARE:.0%} left out, {arguments.splits} splits, seed {arguments.seed}")
    step_time, first = end_to_end(arguments.data, "h100-8b", H100_8B, arguments.splits, arguments.seed)
    _, second = end_to_end(arguments.data, "h100-32b", H100_32B, arguments.splits, arguments.seed)
    third = h200(arguments.data, step_time, arguments.splits, arguments.seed)
    return 0 if first and second and third else 1


if __name__ == "__main__":
    sys.exit(main())
