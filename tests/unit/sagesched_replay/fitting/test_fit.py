"""Fitting: recordings made by an engine whose coefficients are known give these back, others are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sagesched_emulator.dataset import DatasetError
from sagesched_emulator.profiles import EngineProfile, profile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.cli import main
from sagesched_replay.engines import engine_of, fit_engine, write_engine
from sagesched_replay.knowledge import Ignorance
from sagesched_replay.replay import ReplaySettings, replay

NUM = 500


def record(path: Path, engine: EngineProfile, gap_s: float, lengths: float = 150.0) -> Path:
    """What a gateway in front of this engine writes down; arrivals go from idle to crowded and back."""
    rng = np.random.default_rng(3)
    pace = 0.15 + 4.0 * np.sin(np.linspace(0.0, np.pi, NUM)) ** 2
    arrivals = np.cumsum(rng.exponential(gap_s, NUM) / pace)
    requests = tuple(
        TraceRequest(
            id=f"r{place}",
            prompt="",
            prompt_tokens=int(rng.integers(20, 600)),
            max_tokens=1024,
            arrival_s=float(at),
            output_tokens=int(np.clip(rng.lognormal(np.log(lengths), 0.6), 2, 1000)),
        )
        for place, at in enumerate(arrivals)
    )
    trace = Trace(requests=requests, rho=1.0, seed=0, span_s=float(arrivals[-1]))
    settings = ReplaySettings(policy=PolicySettings(name="fcfs"), stream_interval=1)
    lines = []
    for served in replay(trace, engine, settings, Ignorance()).served:
        request = served.request
        assert served.started_at is not None
        assert served.first_at is not None
        assert served.last_at is not None
        lines.append(
            {
                "id": request.id,
                "prompt_tokens": request.prompt_tokens,
                "max_tokens": request.max_tokens,
                "output_tokens": request.output_tokens,
                "arrival_s": 1.79e9 + request.arrival_s,
                "outcome": "completed",
                "queue_s": served.started_at - request.arrival_s,
                "ttft_s": served.first_at - request.arrival_s,
                "ttlt_s": served.last_at - request.arrival_s,
            }
        )
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture(scope="module")
def slot_bound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("fit") / "slots.jsonl", profile("slot-bound"), 0.1)


def test_step_time_and_slots_come_back(slot_bound: Path) -> None:
    fitted = fit_engine(slot_bound)
    truth, found = profile("slot-bound").step_time, fitted.profile.step_time
    assert fitted.fit.error_p50 < 0.03
    for sequences, cached in ((1, 300), (16, 5000), (32, 10_000)):
        assert found.seconds(sequences, cached, 0) == pytest.approx(
            truth.seconds(sequences, cached, 0), rel=0.05
        )
    assert found.prefill_s_per_token == pytest.approx(truth.prefill_s_per_token, rel=0.35)
    assert fitted.profile.max_batch_size == pytest.approx(32, abs=1)
    assert "slots were scarce" in fitted.limits.word


def test_where_memory_is_scarce_that_is_found(tmp_path: Path) -> None:
    engine = replace(profile("kv-bound"), kv_blocks=400)
    fitted = fit_engine(record(tmp_path / "kv.jsonl", engine, 0.12, lengths=250.0))
    assert "memory was scarce" in fitted.limits.word
    assert fitted.profile.kv_tokens == pytest.approx(engine.kv_tokens, rel=0.15)


def test_a_fitted_engine_foretells_the_recording(
    slot_bound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    command = f"run --data {slot_bound} --engine fit:{slot_bound} --policy fcfs --json {out}"
    assert main(command.split()) == 0
    assert "error on 100 requests left out of the fit" in capsys.readouterr().out
    told = json.loads(out.read_text())["runs"][0]["mean_ttlt_s"]
    lived = np.mean([json.loads(line)["ttlt_s"] for line in slot_bound.read_text().splitlines()])
    assert told == pytest.approx(lived, rel=0.08)


def test_a_written_engine_is_read_again(
    slot_bound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "engine.json"
    assert main(f"fit --data {slot_bound} --slots 24 --kv-tokens 9000 --out {path}".split()) == 0
    assert "limits as given" in capsys.readouterr().out
    engine, fitted = engine_of(str(path))
    assert fitted is None
    assert (engine.max_batch_size, engine.kv_tokens) == (24, 9024)
    write_engine(path, fit_engine(slot_bound))
    assert engine_of(str(path))[0] == fit_engine(slot_bound).profile


def test_an_engine_without_end_is_refused(slot_bound: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    write_engine(path, fit_engine(slot_bound))
    path.write_text(path.read_text().replace('"kv_blocks": ', '"kv_blocks": 1e999, "found": '))
    with pytest.raises(DatasetError, match="not an engine"):
        engine_of(str(path))


def test_a_written_engine_may_have_any_name(slot_bound: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.of-yesterday"
    write_engine(path, fit_engine(slot_bound))
    assert engine_of(str(path)) == (fit_engine(slot_bound).profile, None)


def test_steady_traffic_cannot_tell(tmp_path: Path, slot_bound: Path) -> None:
    lines = [json.loads(line) for line in slot_bound.read_text().splitlines()]
    for place, line in enumerate(lines):  # each alone, one after the other
        line |= {
            "arrival_s": 2e3 * place,
            "queue_s": 0.0,
            "ttft_s": 0.1,
            "ttlt_s": 0.1 + line["output_tokens"],
        }
    path = tmp_path / "steady.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(DatasetError, match="beside 1 to 1 others all the time"):
        fit_engine(path)


def test_speed_that_batch_and_tokens_do_not_explain_is_refused(tmp_path: Path, slot_bound: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [json.loads(line) for line in slot_bound.read_text().splitlines()]
    for line in lines:
        line["ttlt_s"] = line["ttft_s"] + (line["ttlt_s"] - line["ttft_s"]) * float(rng.uniform(0.2, 5.0))
    path = tmp_path / "wild.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(DatasetError, match="not explain this engine's speed"):
        fit_engine(path)


def test_without_waiting_the_limits_are_not_known(tmp_path: Path) -> None:
    path = record(tmp_path / "idle.jsonl", profile("h100-8b"), 0.05)
    with pytest.raises(DatasetError, match="give --slots and --kv-tokens"):
        fit_engine(path)
    assert fit_engine(path, slots=256, kv_tokens=400_000).fit.error_p50 < 0.03


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"prompt": "a", "output_tokens": 3}', "0 requests with queue_s"),
        ("nope", "bad.jsonl:1: not a line of a recording"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(DatasetError, match=complaint):
        fit_engine(path)
