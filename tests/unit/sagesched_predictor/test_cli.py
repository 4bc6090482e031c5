from __future__ import annotations

import io
import json
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
    assert said.startswith("source history, neighbours 10\n")
    assert "p99 95" in said

    assert main(["inspect", str(encoder_folder)]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "all-MiniLM-L6-v2"


def test_errors_are_one_line_that_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nowhere.npz")]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "sagesched-predictor warm" in errors


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["warm"], ["inspect"], ["export", "--precision", "int4"]]
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
