"""All runs of a demo, at one time scale: a starved run makes all of them start again, slower.

The emulated engine keeps real time. Where the machine cannot keep up, its iterations come late and the run
would measure the machine. Such a run is thrown away, and with it those before it, because runs at different
speeds load the gateway differently: a table has one time scale. The runs that ask most of the machine go
first, so that a scale that is too fast shows at once; where a run before has counted, the machine can keep up
at this scale, and a starved run (other work passing by) is tried once more before all are slowed down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagesched_emulator.demo.errors import HopelessRunError, StarvedError
from sagesched_emulator.demo.progress import Progress
from sagesched_emulator.demo.trial import Trial, TrialPlan, run_trial

SLOWER_BY = 1.6
SLOWEST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All runs of one demo.

    Attributes:
        trials: in the order asked for, all at one time scale.
        time_scale: wall seconds per engine second.
        repeated: scales that were tried and thrown away, fastest first.
    """

    trials: list[Trial]
    time_scale: float
    repeated: list[float]


def measure(
    plan: TrialPlan,
    names: Sequence[str],
    time_scale: float,
    progress: Progress,
    *,
    slowest: float = SLOWEST,
) -> Measured:
    """Run each name once at one time scale, slower and from the start when a run was starved.

    Args:
        plan: what all runs have in common.
        names: `direct` and policies, in the order of the table.
        time_scale: wall seconds per engine second to begin with.
        progress: told what happens.
        slowest: the largest time scale to try; equal to `time_scale` allows no repetition.

    Raises:
        StarvedError: a run was starved at the slowest scale.
    """
    repeated: list[float] = []
    while True:
        trials: dict[str, Trial] = {}
        for name in reversed(names):
            starved = _run(plan, name, time_scale, progress, trials, len(names))
            if starved and trials:
                progress.say(f"run {name!r} does not count: {starved}; once more")
                starved = _run(plan, name, time_scale, progress, trials, len(names))
            if starved:
                break
        if not starved:
            return Measured(trials=[trials[n] for n in names], time_scale=time_scale, repeated=repeated)
        slower = min(time_scale * SLOWER_BY, slowest)
        if slower <= time_scale:
            raise StarvedError(
                f"this machine cannot keep up at time scale {time_scale:.2g}: {starved}; "
                "end other work on it, or give a larger --time-scale"
            )
        progress.say(f"run {name!r} does not count: {starved}; all runs again at time scale {slower:.2g}")
        progress.advance_to(0)
        repeated.append(time_scale)
        time_scale = slower


def _run(
    plan: TrialPlan,
    name: str,
    time_scale: float,
    progress: Progress,
    trials: dict[str, Trial],
    num_runs: int,
) -> str:
    """Run one and add it to `trials`, or say why it does not count."""
    label = f"run {len(trials) + 1} of {num_runs}: {name}"
    progress.stage(f"{label}, starting")
    before = len(trials) * len(plan.requests)
    progress.advance_to(before)

    def on_progress(ended: int) -> None:
        progress.stage(label)
        progress.advance_to(before + ended)

    try:
        trial = run_trial(plan, name, time_scale, on_progress)
    except HopelessRunError as error:
        return str(error)
    if not trial.starved:
        trials[name] = trial
    return trial.starved
