"""Commands on recordings, as the pages have them, on a recording that a gateway could have written."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bed.documented import sections
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import TraceRequest, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor import cli as predictor
from sagesched_replay import cli as replayer
from sagesched_replay.knowledge import Ignorance
from sagesched_replay.replay import ReplaySettings, replay

PROGRAMS = {"sagesched-replay": replayer.main, "sagesched-predictor": predictor.main}
PAGES = ("docs/guides/replay.md", "docs/guides/prediction.md", "docs/reference/recording.md")
NUM = 330
"""More than are learned from in the guide's example."""
_IDLE_HALF = 4.0
"""Distances of the first half of arrivals, times this."""


@pytest.fixture(scope="module")
def recording() -> str:
    engine = profile("slot-bound")
    drawn = draw_trace(generate(NUM, 1), profile=engine, rho=1.1, num_requests=NUM, seed=1)
    half = drawn.requests[NUM // 2].arrival_s
    trace = replace(drawn, requests=tuple(_at(each, half) for each in drawn.requests))
    settings = ReplaySettings(policy=PolicySettings(name="fcfs"), stream_interval=1)
    return "".join(
        json.dumps(
            {
                "id": served.request.id,
                "model": "ensemble",
                "prompt": served.request.prompt[:100],
                "prompt_tokens": served.request.prompt_tokens,
                "max_tokens": served.request.max_tokens,
                "output_tokens": served.request.output_tokens,
                "arrival_s": served.request.arrival_s,
                "outcome": "completed",
                "queue_s": (served.started_at or 0.0) - served.request.arrival_s,
                "ttft_s": (served.first_at or 0.0) - served.request.arrival_s,
                "ttlt_s": (served.last_at or 0.0) - served.request.arrival_s,
            }
        )
        + "\n"
        for served in replay(trace, engine, settings, Ignorance()).served
    )


def _at(request: TraceRequest, half: float) -> TraceRequest:
    """The first half of arrivals far apart, the second close together."""
    late = max(0.0, request.arrival_s - half)
    return replace(request, arrival_s=_IDLE_HALF * min(request.arrival_s, half) + late)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(
    page: str, recording: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, num in (("requests", NUM), ("past", NUM), ("recording", 60)):
        lines = recording.splitlines(keepends=True)[:num]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "gateway.yaml").write_text("scheduling: {policy: gittins-boost}\n")
    commands = [shlex.split(each) for section in sections(page).values() for each in section]
    ours = [words for words in commands if words[0] in PROGRAMS]
    assert ours
    for program, *arguments in ours:
        assert PROGRAMS[program](arguments) == 0, (program, arguments)
