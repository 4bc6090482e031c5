"""The demo from options to files: make ready, run all, print the table, write summary and picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sagesched_emulator.demo.emulated import emulated_scenario
from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.options import FIRST_TIME_SCALE, Options
from sagesched_emulator.demo.picture import draw
from sagesched_emulator.demo.progress import progress_for
from sagesched_emulator.demo.runner import SLOWEST, Measured, measure
from sagesched_emulator.demo.scenario import Scenario
from sagesched_emulator.demo.summary import summary, write_summary
from sagesched_emulator.demo.table import table
from sagesched_emulator.demo.target import target_scenario
from sagesched_emulator.demo.trial import DIRECT

TITLE = "The same requests, the same engine: what the gateway is worth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A demo that was run: what was sent to what, and what was seen."""

    scenario: Scenario
    measured: Measured


def run_demo(options: Options) -> Told:
    """Run the demo; prints the table and where the files are.

    Raises:
        DemoError: something it needs is missing or failed.
        DatasetError: the dataset cannot be used.
    """
    names = [DIRECT, *options.policies]
    folder = log_folder(options.out)
    with progress_for(options.requests_to_send * len(names)) as bar:
        make = emulated_scenario if options.target is None else target_scenario
        scenario = make(options, folder, bar)
        fixed = 1.0 if options.target else options.time_scale
        measured = measure(scenario.plan, names, fixed or FIRST_TIME_SCALE, bar, slowest=fixed or SLOWEST)
        bar.stage("done")
    report(scenario, measured, options.out)
    return Told(scenario=scenario, measured=measured)


def report(scenario: Scenario, measured: Measured, out: Path) -> None:
    """Print the table with its notes; write `summary.json`, and `picture.png` of answers, to `out`."""
    trace = scenario.trace | {
        "time_scale": measured.time_scale,
        "repeated_at": measured.repeated,
        "notes": list(scenario.notes),
    }
    write_summary(out / "summary.json", summary(trace, measured.trials))
    is_answered = any(trial.figures.completed for trial in measured.trials)
    if is_answered:
        draw(out / "picture.png", measured.trials, TITLE, scenario.subtitle)
    print(f"\n{scenario.subtitle}\n")
    print(table(measured.trials))
    print()
    for note in (*scenario.notes, *_scale_notes(measured)):
        print(f"note: {note}")
    print(f"summary: {out / 'summary.json'}")
    if is_answered:
        print(f"picture: {out / 'picture.png'}")


def _scale_notes(measured: Measured) -> list[str]:
    if not measured.repeated:
        return []
    tried = ", ".join(f"{scale:.2g}" for scale in measured.repeated)
    return [
        f"this machine could not keep up at {tried} wall seconds per engine second; all runs above were made "
        f"at {measured.time_scale:.2g}"
    ]


def log_folder(out: Path) -> Path:
    """The folder for logs in the one of results, made; absolute since child processes are given it.

    Raises:
        StartError: it cannot be made.
    """
    folder = (out / "logs").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{out}: cannot be made: {error.strerror}; choose another --out") from error
    return folder
