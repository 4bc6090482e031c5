"""Nothing derived from a true output length reaches client or gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sagesched_emulator.dataset import read_dataset, write_dataset
from sagesched_emulator.demo import emulated
from sagesched_emulator.demo.emulated import emulated_scenario
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.progress import Silence
from sagesched_emulator.demo.scenario import Scenario, client_view
from sagesched_emulator.demo.selection import comparable
from sagesched_emulator.demo.warmup import ANSWERED_FILE, one_answer_each
from sagesched_emulator.load import LoadRequest, generate_message
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import TraceRequest, draw_trace
from sagesched_emulator.workload import generate

MakeScenario = Callable[..., Scenario]


def some_requests() -> tuple[TraceRequest, ...]:
    records = generate(40, 3)
    return draw_trace(records, profile=profile("kv-bound"), rho=1.2, num_requests=40, seed=3).requests


@pytest.fixture
def a_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeScenario:
    """A scenario without an encoder: the history is not computed."""

    def no_history(records: list, encoder: Path, folder: Path, *, model: str, seed: int) -> None:  # type: ignore[type-arg]
        write_dataset(folder / ANSWERED_FILE, one_answer_each(records, seed))

    monkeypatch.setattr(emulated, "find_encoder", lambda: tmp_path)
    monkeypatch.setattr(emulated, "warm_history", no_history)

    def make(**choices: object) -> Scenario:
        return emulated_scenario(
            replace(Options(num_requests=30, num_warm=20), **choices), tmp_path, Silence()
        )

    return make


def test_what_is_sent_is_the_same_whatever_the_true_lengths_are() -> None:
    requests = some_requests()
    others = [
        replace(request, output_tokens=1 + (7 * request.output_tokens) % 2048, known=None)
        for request in requests
    ]
    assert [request.output_tokens for request in others] != [request.output_tokens for request in requests]
    first, second = client_view(requests), client_view(others)
    assert [generate_message(r, "ensemble") for r in first] == [
        generate_message(r, "ensemble") for r in second
    ]


def test_a_load_request_has_no_place_for_a_length() -> None:
    assert {entry.name for entry in fields(LoadRequest)} == {"id", "prompt", "max_tokens", "arrival_s"}


def test_max_tokens_is_the_default_whatever_the_answer() -> None:
    assert {request.max_tokens for request in client_view(some_requests())} == {2048}


def test_the_predictor_has_seen_none_of_the_measured_prompts(a_scenario: MakeScenario) -> None:
    scenario = a_scenario()
    warm = {comparable(record.prompt) for record in read_dataset(scenario.plan.folder / ANSWERED_FILE)}
    assert len(warm) == 20
    assert not warm & {comparable(request.prompt) for request in scenario.plan.requests}


def test_the_summary_describes_the_trace(a_scenario: MakeScenario) -> None:
    scenario = a_scenario(rho=1.7, seed=5)
    assert scenario.trace["num_requests"] == len(scenario.plan.requests) == 30
    assert scenario.trace["rho"] == pytest.approx(1.7, abs=1e-3)
    assert (scenario.trace["seed"], scenario.trace["source"]) == (5, "generated")
    assert "30 generated prompts" in scenario.subtitle


def test_a_dataset_is_measured_on_800_requests(a_scenario: MakeScenario, tmp_path: Path) -> None:
    path = tmp_path / "real.jsonl"
    write_dataset(path, generate(1100, 1))
    scenario = a_scenario(dataset=path, num_requests=None)
    assert len(scenario.plan.requests) == 800
    assert scenario.trace["source"] == "real.jsonl"
    assert scenario.drawn is not None
    assert scenario.drawn.rho == pytest.approx(1.3)
