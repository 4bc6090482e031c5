from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from sagesched_predictor.cli import main


def test_a_first_session(
    encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export"]) == 0
    assert capsys.readouterr().out.strip() == str(encoder_folder)

    data, history = tmp_path / "past.jsonl", tmp_path / "history.npz"
    poems = [{"prompt": "Write a poem about rain.", "output_samples": list(range(90, 100)), "model": "m"}]
    sums = [{"prompt": f"What is {n} + {n}?", "output_tokens": 10 + n, "model": "m"} for n in range(6)]
    data.write_text("".join(json.dumps(line) + "\n" for line in [*poems, *sums]))
    assert main(["warm", "--data", str(data), "--out", str(history), "--threads", "1"]) == 0
    assert "16 records kept of 16 observed" in capsys.readouterr().out

    assert main(["inspect", str(history)]) == 0
    assert "model 'm': 16 records, 0 of them cut off" in capsys.readouterr().out

    monkeypatch.setattr("sys.stdin", io.StringIO("Write a poem about rain."))
    assert main(["predict", "--history", str(history), "--max-tokens", "95", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("source ")
    assert "neighbours 10\n" in said
    assert "p99 95" in said

    assert main(["inspect", str(encoder_folder)]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "length-predictor"


@pytest.mark.parametrize(
    "prompt",
    ["", "word " * 40_000, "😀🏳️‍🌈" * 300, bytes(range(256)).decode("latin-1") * 50, "\x00\ufffe"],
    ids=["empty", "200,000 characters", "emoji", "binary noise", "controls"],
)
def test_any_prompt_has_a_prediction_without_a_history(
    prompt: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(prompt))
    assert main(["predict", "--threads", "1"]) == 0
    source, lengths = capsys.readouterr().out.splitlines()
    assert source == "source prior, neighbours 0"
    assert lengths.startswith("output tokens: mean ")


@pytest.mark.parametrize("locale", ["utf-8", "ascii"])
def test_bytes_that_are_no_text_have_a_prediction_whatever_the_locale(
    locale: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = io.BytesIO("Größe ".encode() + bytes(range(256)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(noise, encoding=locale))
    assert main(["predict", "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("source prior, neighbours 0")


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_broken_or_foreign_artifact_is_refused_in_one_sentence(
    command: str, encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a", "output_tokens": 3}\n')
    arguments = [command, *(["--data", str(data)] if command == "evaluate" else [])]
    broken = tmp_path / "broken"
    shutil.copytree(encoder_folder, broken)
    (broken / "head.onnx").write_bytes(b"noise")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "card.json").write_text('{"model_type": "bert"}')
    for folder, reason in ((broken, "does not match its digest"), (foreign, "not an encoder card")):
        assert main([*arguments, "--artifact", str(folder)]) == 1
        told = capsys.readouterr().err
        assert reason in told
        assert told.count("\n") == 1


def test_evaluate_without_an_artifact_scores_the_shipped_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.json"
    short = [{"prompt": f"What is {n} plus {n}?", "output_samples": [5 + n, 6 + n, 9]} for n in range(8)]
    long = [
        {"prompt": f"Write a detailed essay about the year 19{n}0.", "output_tokens": 700 + n}
        for n in range(8)
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in [*short, *long]))
    assert main(["evaluate", "--data", str(data), "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["n"], found["unpredicted"], found["observed"]) == (16, 0, 0)
    assert found["kendall_tau"] > 0.3
    assert main(["evaluate", "--data", str(data), "--adapt", "16"]) == 1
    assert "no line is left to score: 16 lines, the first 16 observed" in capsys.readouterr().err


def test_errors_are_one_line_that_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nowhere.npz")]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "sagesched-predictor warm" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["warm"],
        ["inspect"],
        ["export", "--precision", "int4"],
        ["export", "--from", "any"],
        ["export", "--out", "any"],
        ["evaluate"],
        ["evaluate", "--data", "any", "--seed", "-1"],
        ["train"],
        ["train", "--data", "any", "--out", "any", "--seed", "-1"],
        ["predict", "--max-prompt-tokens", "3"],
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "a first session" in capsys.readouterr().out
