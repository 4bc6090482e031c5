"""The worker as the gateway runs it: a real child process with the real encoder."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.snapshot import save_history
from sagesched_predictor.worker import NICENESS

PROMPT = "Write a limerick about a cat."


class Child:
    """A worker process; `ask` returns the next line it says."""

    def __init__(self, settings: dict[str, Any] | str) -> None:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sagesched_predictor.worker", "--settings", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def tell(self, *lines: dict[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        for line in lines:
            self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors.decode()


def message(op: str, request_id: str, prompt: str = PROMPT, **more: Any) -> dict[str, Any]:
    fields = {"prompt": prompt, "prompt_tokens": 9, "max_tokens": 1000, "model": "m"}
    return {"op": op, "id": request_id, **fields, **more}


@pytest.fixture
def start() -> Iterator[Any]:
    children: list[Child] = []

    def begin(settings: dict[str, Any] | str) -> Child:
        children.append(Child(settings))
        return children[-1]

    yield begin
    for child in children:
        child.process.kill()
        child.process.communicate()


def test_a_life_from_ready_to_end_of_input(start: Any, encoder_folder: Path) -> None:
    child = start({"encoder": str(encoder_folder), "prior": False})
    ready = child.listen()
    assert ready == {
        "op": "ready", "provider": "CPUExecutionProvider", "fallback": None, "history": 0, "pool": None,
        "prior": False,
    }  # fmt: skip
    child.tell(message("predict", "first"))
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert (child.listen()["source"], os.getpriority(os.PRIO_PROCESS, child.process.pid)) == (
        "none",
        min(ours + NICENESS, 19),
    )

    child.tell(*[message("observe", str(i), output_tokens=60 + i, censored=False) for i in range(8)])
    assert child.listen()["op"] == "pool"
    child.tell(b"{broken", message("predict", "second"))
    assert child.listen()["op"] == "error"
    second = child.listen()
    assert (second["id"], second["source"], second["neighbours"]) == ("second", "history", 8)
    assert 59.9 <= second["pairs"][0][0] <= second["pairs"][-1][0] <= 67.1
    assert second["seconds"] > 0

    child.process.send_signal(signal.SIGINT)  # Ctrl-C in the gateway's terminal is not for us
    child.tell(message("predict", "third"))
    assert child.listen()["id"] == "third"
    child.tell(*[message("predict", str(i), f"question {i}") for i in range(40)])
    assert {child.listen()["id"] for _ in range(40)} == {str(i) for i in range(40)}
    code, errors = child.end()
    assert (code, errors) == (0, "")


def test_starts_warm(start: Any, encoder_folder: Path, tmp_path: Path) -> None:
    encoder = Encoder(EncoderArtifact.load(encoder_folder))
    history = History(encoder.dimension)
    predictor = Predictor(encoder, history)
    for tokens in range(200, 210):
        features = PromptFeatures(prompt=PROMPT, prompt_tokens=9, model="m")
        predictor.observe(features, Outcome(output_tokens=tokens, censored=False))
    save_history(history, tmp_path / "h.npz", encoder.fingerprint)

    history_file = {"file": str(tmp_path / "h.npz")}
    child = start({"encoder": str(encoder_folder), "prior": False, "history": history_file})
    ready = child.listen()
    assert (ready["history"], ready["pool"][0]) == (10, [200, 0.1])
    child.tell(message("predict", "a"))
    assert child.listen()["source"] == "history"
    assert child.end()[0] == 0


def test_goes_on_where_it_ended_and_says_what_it_could_not_use(
    start: Any, encoder_folder: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "state.npz"
    settings = {"encoder": str(encoder_folder), "history": {"snapshot": str(snapshot)}}
    first = start(settings)
    assert first.listen()["history"] == 0
    first.tell(*[message("observe", str(i), output_tokens=60 + i, censored=False) for i in range(8)])
    assert first.end() == (0, "")
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600
    second = start(settings)
    assert second.listen()["history"] == 8
    assert second.end()[0] == 0

    snapshot.write_bytes(snapshot.read_bytes()[:2000])
    third = start(settings)
    note, ready = third.listen(), third.listen()
    assert note["op"] == "note"
    assert "set aside" in note["message"]
    assert (ready["op"], ready["history"], ready["prior"]) == ("ready", 0, True)
    third.tell(message("predict", "cold"))
    assert third.listen()["source"] == "prior"


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ("nonsense", 2, "--settings"),
        ({"encoder": "/nowhere"}, 1, "sagesched-predictor export"),
        ({"encoder": "/nowhere", "speed": 3}, 2, "speed"),
    ],
)
def test_cannot_start_and_says_why_on_one_line(start: Any, settings: Any, code: int, says: str) -> None:
    child = start(settings)
    note = child.listen()
    assert note["op"] == "note"
    assert says in note["message"]
    ended, errors = child.end()
    assert ended == code
    assert says in errors
    assert errors.count("\n") == 1
