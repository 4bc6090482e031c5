"""`sagesched-replay run`: what it writes, and what it says when it cannot."""

import json
from pathlib import Path

import pytest

from sagesched_emulator.dataset import Record, write_dataset
from sagesched_replay import plan, progress
from sagesched_replay.cli import main


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    write_dataset(
        path,
        [
            Record(
                prompt=f"prompt {n}",
                prompt_tokens=30,
                output_samples=(20 + n, 30 + n, 40 + 9 * n),
                dataset="own",
            )
            for n in range(30)
        ],
    )
    return path


def test_a_run_prints_a_table_and_writes_json(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    code = main(
        f"run --data {prompts} --engine kv-bound --rho 1.2 --requests 60 --seed 5 --distribution true "
        f"--policy direct --policy fcfs --policy gittins-boost --tail-weight 0.5 --json {out}".split()
    )
    captured = capsys.readouterr()
    assert code == 0
    assert "60 requests drawn from 30 of prompts.jsonl" in captured.out
    assert captured.err == ""
    written = json.loads(out.read_text())
    assert written["trace"]["requests"] == 60
    assert written["trace"]["rho"] == pytest.approx(1.2)
    assert written["trace"]["tail_weight"] == 0.5
    assert [run["policy"] for run in written["runs"]] == ["direct", "fcfs", "gittins-boost"]
    for run in written["runs"]:
        assert run["completed"] == 60
        wanted = "mean_ttlt_s p50_ttlt_s p95_ttlt_s p99_ttlt_s mean_ttft_s p99_ttft_s evictions utilisation"
        assert set(wanted.split()) <= run.keys()


def test_without_a_file_prompts_are_generated(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(f"run --requests 40 --policy fcfs --distribution none --json {out}".split()) == 0
    assert json.loads(out.read_text())["trace"]["data"] is None


def test_the_same_seed_gives_the_same_figures(prompts: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("one.json", "two.json"):
        command = f"run --data {prompts} --requests 50 --seed 2 --distribution true --policy sagesched"
        assert main([*command.split(), "--json", str(tmp_path / name)]) == 0
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_recorded_tenants_and_deadlines_count_by_a_gateways_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tenants, one flooding; one request in ten is wanted at once."""
    recording, settings, out = (tmp_path / name for name in ("log.jsonl", "gateway.yaml", "out.json"))
    write_dataset(
        recording,
        [
            Record(
                prompt="",
                prompt_tokens=500,
                output_tokens=400,
                arrival_s=0.01 * n,
                tenant="quiet" if n % 20 == 0 else "loud",
                deadline_s=0.5 if n % 10 == 5 else None,
                id=f"r{n}",
            )
            for n in range(300)
        ],
    )
    settings.write_text("tenants: {enabled: true}\ndeadlines: {dropBelow: 0.5}\n")
    command = f"run --data {recording} --policy fcfs --distribution none --json {out}".split()
    assert main(command) == 0
    (without,) = json.loads(out.read_text())["runs"]
    assert (without["failed"], without["tenants"]) == (0, {})
    assert main([*command, "--config", str(settings)]) == 0
    (with_settings,) = json.loads(out.read_text())["runs"]
    loud, quiet = with_settings["tenants"]["loud"], with_settings["tenants"]["quiet"]
    assert with_settings["failed"] == loud["failed"] > 0
    assert quiet["mean_ttlt_s"] < 0.6 * loud["mean_ttlt_s"]
    assert "quiet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--config nowhere.yaml --distribution none --requests 5", "nowhere.yaml: cannot be read"),
        ("--data missing.jsonl", "missing.jsonl: cannot be read"),
        ("--engine warp", "unknown engine profile 'warp', one of kv-bound"),
        ("--policy fastest --requests 5", "unknown policy 'fastest', one of fcfs"),
        ("--rho 0 --requests 5", "rho must be above 0"),
        ("--requests 0", "at least 1"),
        ("--tail-weight 0 --policy gittins-boost --distribution none --requests 5", "tail weight"),
        ("--distribution none --warm x.jsonl --requests 5", "--warm, --adapt and --artifact are for"),
        ("--stream-interval 0 --distribution none --requests 5", "stream_interval must be at least 1"),
        ("--distribution none --rate-scale 2 --requests 5", "--rate-scale is for files with arrivals"),
        ("--distribution none --seeds 0 --requests 5", "--seeds must be at least 1"),
        ("--distribution none --replicas 0 --requests 5", "at least 1 replica"),
        ("--distribution none --warmup 5 --requests 5", "--warmup must be a number or percentage"),
        ("--distribution none --warmup half --requests 5", "--warmup must be a number or percentage"),
        ("--distribution none --warmup inf% --requests 5", "--warmup must be a number or percentage"),
        ("--distribution none --max-tokens 0 --requests 5", "--max-tokens must be at least 1, got 0"),
        ("--distribution none --kv-headroom -1 --requests 5", "--kv-headroom must be at least 0, got -1"),
        ("--distribution none --kv-headroom nan --requests 5", "--kv-headroom must be at least 0, got nan"),
        ("--distribution none --seed -1 --requests 5", "--seed must be at least 0, got -1"),
        ("--engine fit:nowhere.jsonl --requests 5", "nowhere.jsonl: cannot be read"),
        ("--engine nowhere.json --requests 5", "nowhere.json: cannot be read"),
        ("--distribution predictor --artifact nowhere --requests 5", "card.json is missing"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(
    arguments: str,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("sagesched-replay: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        "--policy fcfs@engine --replicas 2 --balancer round-robin --balancer least-queue",
        "--policy direct --replicas 1 --replicas 2 --balancer global",
        "--policy gittins-boost --tail-weight 1 --tail-weight 0",
        "--json nowhere/out.json",
        "--html nowhere/report.html",
    ],
)
def test_what_cannot_be_run_is_said_before_the_first_run(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[object] = []
    monkeypatch.setattr(progress, "run_variant", lambda *given: runs.append(given))
    assert main(f"run --distribution none --requests 20 --policy fcfs {arguments}".split()) == 2
    assert capsys.readouterr().err.startswith("sagesched-replay: ")
    assert runs == []


@pytest.mark.parametrize("policy", ["fcfs", "fcfs@engine"])
def test_lengths_beyond_all_measure_are_refused(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt_tokens,output_tokens\n1e300,1e300\n")
    assert main(f"run --data {path} --distribution none --requests 2 --policy {policy}".split()) == 2
    assert capsys.readouterr().err.startswith("sagesched-replay: ")


def test_settings_are_read_before_prompts_are_encoded(
    prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "open_artifact", lambda folder: pytest.fail("that takes minutes"))
    assert main(f"run --data {prompts} --config nowhere.yaml".split()) == 2
    assert "nowhere.yaml: cannot be read" in capsys.readouterr().err


def test_true_distributions_need_more_than_one_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "single.jsonl"
    write_dataset(path, [Record(prompt="a", output_tokens=3)])
    assert main(["run", "--data", str(path), "--distribution", "true", "--requests", "3"]) == 2
    assert "use predictor or none" in capsys.readouterr().err


@pytest.fixture
def promptless(tmp_path: Path) -> Path:
    path = tmp_path / "recording.jsonl"
    lines = [
        {"outcome": "completed", "prompt_tokens": 9, "output_tokens": 5 + n, "arrival_s": 1.79e9 + n}
        for n in range(20)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.mark.parametrize("arguments", ["--distribution none", "--policy fcfs --policy direct"])
def test_a_recording_without_prompts_is_replayed_where_none_are_needed(
    promptless: Path, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--data", str(promptless), *arguments.split()]) == 0
    assert "20 requests of recording.jsonl over 19 s" in capsys.readouterr().out


def test_the_predictor_needs_prompts_and_says_where_to_get_them(
    promptless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--data", str(promptless), "--policy", "ssjf"]) == 2
    assert "recording.jsonl:1: a recording without prompts" in capsys.readouterr().err


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_prompts_that_were_observed_are_not_replayed(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    run = f"run --data {prompts} --requests 20 --policy sagesched --policy wspt --json {out}"
    assert main(f"{run} --adapt 20".split()) == 0
    written = json.loads(out.read_text())
    assert written["trace"]["observed_before"] == 20
    assert [one["completed"] for one in written["runs"]] == [20, 20]
    capsys.readouterr()
    assert main(f"{run} --adapt 30".split()) == 2
    assert "observing 30 prompts leaves none of 30" in capsys.readouterr().err


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    path = tmp_path / "code.csv"
    lines = [f"2023-11-16 18:{n // 60:02}:{n % 60:02}.5,{100 + n},{5 + n % 40}" for n in range(300)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    return path


def test_every_table_names_trace_data_seed_and_engine(
    azure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    command = f"run --data {azure} --distribution by-prompt-tokens --rate-scale 2 --warmup 10% --json {out}"
    assert main([*command.split(), "--policy", "fcfs", "--policy", "sagesched"]) == 0
    heading = "".join(capsys.readouterr().out.splitlines()[:2])
    for word in ("300 requests of code.csv over 150 s", "kv-bound", "seed 0", "first 30 left out", "trace "):
        assert word in heading
    written = json.loads(out.read_text())
    assert written["trace"]["data_sha256"] in heading
    assert [run["completed"] for run in written["runs"]] == [270, 270]
    assert [one["is_base"] for one in written["comparison"]] == [True, False]


def test_a_recorded_trace_is_put_at_a_load(azure: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = f"run --data {azure} --distribution none --policy fcfs --rho 0.5 --json {out}"
    assert main(command.split()) == 0
    assert json.loads(out.read_text())["trace"]["rho"] == pytest.approx(0.5)


def test_several_seeds_are_paired(prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"run --data {prompts} --requests 40 --rho 1.5 --distribution true --policy fcfs --policy sjf"
    assert main([*command.split(), "--seeds", "3", "--seed", "5"]) == 0
    table = capsys.readouterr().out
    assert "seeds 5-7" in table
    assert "95 % interval over 3 seeds" in table


def test_seeds_that_change_nothing_are_refused(azure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"run --data {azure} --distribution none --policy fcfs --seeds 3".split()) == 2
    assert "--seeds changes nothing" in capsys.readouterr().err


def test_variants_multiply_and_are_named_by_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    command = (
        "run --requests 40 --distribution none --policy fcfs --policy gittins-boost --tail-weight 0.5 "
        f"--tail-weight 2 --replicas 1 --replicas 2 --balancer least-queue --balancer global --json {out}"
    )
    assert main(command.split()) == 0
    runs = json.loads(out.read_text())["runs"]
    assert len(runs) == 3 + 2 * 3
    seen = {(run["policy"], run["tail_weight"], run["replicas"], run["balancer"]) for run in runs}
    assert ("fcfs", None, 1, None) in seen
    assert ("gittins-boost", 2.0, 2, "global") in seen
    assert "gittins-boost c=0.5 x2 least-queue" in capsys.readouterr().out
