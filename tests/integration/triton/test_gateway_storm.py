"""Everything at once: clients of all kinds, hostile input, Triton killed, predictor hurt, settings swapped.

The full storm, of thousands of requests, is `bench/storm.py`.
"""

from __future__ import annotations

from pathlib import Path

from sagesched_emulator.demo.warmup import find_encoder
from sagesched_emulator.storm.ledger import COMPLETE, LEFT, Ledger
from sagesched_emulator.storm.storm import StormSpec, run_storm

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
