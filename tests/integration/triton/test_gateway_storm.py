"""Everything at once: clients of all kinds, hostile input, Triton killed, predictor hurt, settings swapped.

The full storm, of thousands of requests, is `bench/storm.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sagesched_emulator.demo.warmup import find_encoder
from sagesched_emulator.profiles import profile
from sagesched_emulator.storm.grpc_clients import IN_BAND
from sagesched_emulator.storm.ledger import COMPLETE, LEFT, Ledger
from sagesched_emulator.storm.storm import EXCUSED, HURRIED, StormSpec, run_storm
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.events import Submitted
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings

REQUESTS = 75
GROWTH_MIB = 16.0
"""The first hundred requests still fill caches; a leak of a few hundred KiB per request would show."""


def test_in_a_storm_every_request_ends_once_and_nothing_stays_behind(tmp_path: Path) -> None:
    spec = StormSpec(requests=REQUESTS, span_s=2.5, rounds=2, encoder=find_encoder())
    result = run_storm(spec, tmp_path)
    assert result.problems == []
    assert sum(result.ends.values()) == spec.rounds * REQUESTS
    assert result.ends[COMPLETE] > REQUESTS / 2
    assert result.ends[LEFT] > 0
    assert result.done["Triton killed"] == spec.rounds
    assert result.done["predictor threw"] > 0
    assert result.rss_mib[1] - result.rss_mib[0] < GROWTH_MIB


def test_the_ledger_misses_nothing():
    ledger = Ledger(excused="away")
    asks = {
        name: ledger.ask(name, f"prompt {name}", 5) for name in ("whole", "part", "twice", "other", "never")
    }
    for name in ("whole", "part", "twice"):
        ledger.heard(name, asks[name].answer[: 3 if name == "part" else None])
        ledger.ended(name, COMPLETE)
    ledger.ended("twice", COMPLETE)
    ledger.heard("other", asks["whole"].answer)
    ledger.ended("other", "away")
    ledger.heard("nobody", "x")
    ledger.ask("unexplained", "prompt", 5)
    ledger.ended("unexplained", "INTERNAL")
    ledger.close()
    told = sorted(problem.partition(":")[0] for problem in ledger.problems)
    assert told == ["an answer to nobody", "never", "other", "part", "twice", "unexplained"]


def test_one_in_a_hurry_may_be_given_up_in_its_stream() -> None:
    scheduler = Scheduler(PolicySettings(name="fcfs"), replace(profile("slot-bound").capacity(), slots=1))
    commands = [
        command
        for name in ("first", "late")
        for command in scheduler.handle(
            Submitted(
                job_id=name,
                arrival_at=0.0,
                prompt_tokens=8,
                max_tokens=1000,
                streams=True,
                awaits_prediction=False,
                deadline_at=0.1 if name == "late" else None,
            ),
            0.0,
        )
    ]
    (refusal,) = (command for command in commands if isinstance(command, Reject))
    ledger = Ledger(EXCUSED)
    ledger.ask("late", "prompt", 5, HURRIED)
    ledger.ended("late", f"{IN_BAND}{refusal.detail}")
    ledger.close()
    assert ledger.problems == []
