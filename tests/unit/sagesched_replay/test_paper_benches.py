"""The parts of the benches of published claims that can be worked by hand."""

import importlib
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCH = str(Path(__file__).parents[3] / "bench")
NAMES = ("paper", "paper_bounds", "paper_ssjf", "replay_frontier")


@pytest.fixture(scope="module")
def benches() -> dict[str, ModuleType]:
    sys.path.insert(0, BENCH)
    try:
        return {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(BENCH)


def cheapest_by_hand(prompts, output, pool, horizon) -> float:
    """Every combination of starts, looked at round by round."""
    best = float("inf")
    for starts in itertools.product(range(horizon), repeat=len(output)):
        jobs = list(zip(starts, prompts, output, strict=True))
        fits = all(
            sum(s + now - t + 1 for t, s, o in jobs if t <= now < t + o) <= pool for now in range(horizon)
        )
        if fits and all(t + o <= horizon for t, _, o in jobs):
            best = min(best, sum(t + o for t, _, o in jobs))
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_solver_finds_what_looking_at_everything_finds(benches, seed):
    rng = np.random.default_rng(seed)
    prompts, output = rng.integers(1, 4, 3), rng.integers(1, 5, 3)
    at = np.zeros(3, dtype=np.int64)
    best = benches["paper_bounds"].best_possible(prompts, output, at, 8, 12)
    assert best == pytest.approx(cheapest_by_hand(prompts, output, 8, 12))


def test_hindsight_is_never_better_than_the_optimum(benches):
    bounds = benches["paper_bounds"]
    prompts, output, at = np.array([2, 1, 3]), np.array([4, 2, 3]), np.zeros(3, dtype=np.int64)
    run = bounds.serve(bounds.HSF, 9, prompts, output, (output, output))
    best = bounds.best_possible(prompts, output, at, 9, 15)
    assert best <= 3 * bounds.mean_latency(run)


def test_ssjf_in_each_way_of_batching(benches):
    ssjf = benches["paper_ssjf"]
    # Of 0.1 s + 0.02 s per token: 1.1, 0.3 and 0.5 s. All there at 0; ordered by what is predicted.
    jobs = [ssjf.Job(0.0, tokens, float(tokens), 100.0) for tokens in (50, 10, 20)]
    ends = {
        (policy, mode): [round(end, 6) for end, _ in ssjf.serve(jobs, policy, mode, places)]
        for policy in ("fcfs", "ssjf")
        for mode, places in ssjf.MODES.items()
    }
    assert ends["fcfs", "none"] == [1.1, 1.4, 1.9]
    assert ends["ssjf", "none"] == [0.3, 0.8, 1.9]
    assert ends["fcfs", "static"] == [1.1, 1.1, 1.6]
    assert ends["ssjf", "static"] == [0.5, 0.5, 1.6]
    assert ends["fcfs", "continuous"] == [0.3, 0.8, 1.1]
    assert ends["ssjf", "continuous"] == [0.3, 0.5, 1.4]
    assert ssjf.figures([(0.5, 0.4), (1.0, 0.8), (1.5, 1.2), (2.0, 1.6), (2.5, 2.0)]) == (1.2, 2.0)


def test_the_guard_serves_by_age_what_has_waited_long(benches):
    ssjf = benches["paper_ssjf"]
    old, short = ssjf.Job(0.0, 50, 9.0, 1.0), ssjf.Job(5.0, 10, 1.0, 1.0)
    assert ssjf.pick([old, short], 9.0, "ssjf") is short
    assert ssjf.pick([old, short], 10.5, "ssjf") is old


def test_a_difference_within_noise_is_called_so(benches):
    paper = benches["paper"]
    assert paper.paired([1.0, 2.0, 3.0], [1.1, 1.9, 3.0]).endswith("within noise")
    assert "within noise" not in paper.paired([1.0, 2.0, 3.0], [2.0, 3.1, 4.0])
    assert paper.paired([1.0], [2.0]).endswith("within noise")  # one seed shows nothing
    assert str(paper.interval([1.0, 1.0])) == "1.000 (1.000 to 1.000)"


def test_the_frontier_tells_policies_what_it_says(benches, tmp_path):
    kept = tmp_path / "runs.json"
    command = f"--requests 300 --seeds 0 --rho 1.5 --artifact {tmp_path / 'nowhere'} --json {kept}"
    policies = "--policy mean-length --policy sjf"
    means = {}
    for distribution in ("none", "by-prompt-tokens"):  # neither needs a predictor
        words = f"{command} {policies} --distribution {distribution}".split()
        assert benches["replay_frontier"].main(words) == 0
        (seed,) = json.loads(kept.read_text())
        means |= {(distribution, run["policy"]): run["mean_ttlt_s"] for run in seed["runs"]}
    assert means["none", "mean-length"] != means["by-prompt-tokens", "mean-length"]
    assert means["none", "sjf"] == means["by-prompt-tokens", "sjf"] < means["none", "mean-length"]
