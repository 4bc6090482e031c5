from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sagesched_predictor.history import MAX_SERIES, History
from sagesched_predictor.keeping import SAVE_EVERY_S, Keeper, Keeping
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.series_key import SeriesKey
from sagesched_predictor.snapshot import read_snapshot

KEY = SeriesKey("m")
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def add(history: History, clock: Clock, key: SeriesKey = KEY) -> None:
    history.ring(key).append(
        np.array([1, 0], dtype=np.float32),
        np.zeros(NUM_FEATURES, dtype=np.float32),
        output_tokens=7,
        prompt_tokens=3,
        censored=False,
        recorded_at=clock(),
    )


def a_keeper(
    file: Path | None, clock: Clock, fingerprint: str = "f", days: float = 30.0
) -> tuple[History, Keeper]:
    history = History(2)
    return history, Keeper(history, Keeping(file, days), fingerprint, clock)


def test_a_restart_goes_on_where_it_was(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.npz"
    history, keeper = a_keeper(file, clock)
    assert keeper.restore() == []
    add(history, clock)
    assert keeper.save() is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again, second = a_keeper(file, clock)
    assert second.restore() == []
    assert len(again) == 1


def test_saves_now_and_then_and_only_news(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.npz"
    history, keeper = a_keeper(file, clock)
    add(history, clock)
    assert keeper.save_if_due() is None
    assert not file.exists()
    clock.now += SAVE_EVERY_S
    keeper.save_if_due()
    written = file.stat().st_mtime_ns
    clock.now += SAVE_EVERY_S
    keeper.save_if_due()
    assert file.stat().st_mtime_ns == written


def test_a_series_in_place_of_one_that_was_given_up_is_news(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.npz"
    history, keeper = a_keeper(file, clock)
    for number in range(MAX_SERIES):
        add(history, clock, SeriesKey(f"m{number}"))
    keeper.save()
    add(history, clock, SeriesKey("new"))
    keeper.save()
    assert list(read_snapshot(file).series)[-1] == SeriesKey("new")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x00" * 5000])
def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path, clock: Clock, content: bytes) -> None:
    file = tmp_path / "state.npz"
    file.write_bytes(content)
    history, keeper = a_keeper(file, clock)
    (problem,) = keeper.restore()
    assert "damaged" in problem
    assert "set aside as state.npz.set-aside" in problem
    assert not file.exists()
    assert (tmp_path / "state.npz.set-aside").read_bytes() == content
    add(history, clock)
    assert keeper.save() is None
    assert len(read_snapshot(file).series[KEY]) == 1


def test_embeddings_of_another_encoder_are_not_mixed_in(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.npz"
    history, keeper = a_keeper(file, clock)
    add(history, clock)
    keeper.save()
    other, second = a_keeper(file, clock, fingerprint="another")
    (problem,) = second.restore()
    assert "another encoder" in problem
    assert len(other) == 0
    assert not file.exists()


def test_what_is_too_old_goes_from_memory_and_disk(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "state.npz"
    history, keeper = a_keeper(file, clock, days=2)
    add(history, clock)
    clock.now += 1.5 * DAY_S
    add(history, clock)
    keeper.save()
    assert len(read_snapshot(file).series[KEY]) == 2
    clock.now += DAY_S
    keeper.save_if_due()
    assert len(history) == 1
    assert len(read_snapshot(file).series[KEY]) == 1


def test_without_retention_nothing_goes(tmp_path: Path, clock: Clock) -> None:
    history, keeper = a_keeper(None, clock, days=0)
    add(history, clock)
    clock.now += 1e5 * DAY_S
    assert keeper.save() is None
    assert len(history) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, clock: Clock) -> None:
    history, keeper = a_keeper(tmp_path / "no" / "state.npz", clock)
    add(history, clock)
    assert "cannot write" in str(keeper.save())


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path, clock: Clock) -> None:
    _, keeper = a_keeper(tmp_path / "gone" / "history.npz", clock)
    (problem,) = keeper.restore()
    assert problem == f"{tmp_path / 'gone'} is no folder to write to: what is learned will be lost at the end"


def test_a_name_that_no_file_can_have_is_told_and_not_fatal(tmp_path: Path, clock: Clock) -> None:
    history, keeper = a_keeper(tmp_path / f"{'n' * 300}.npz", clock)
    assert keeper.restore() == []
    add(history, clock)
    assert "cannot write" in str(keeper.save())


KILLED_WHILE_SAVING = """
import os, pathlib, signal, sys
from sagesched_predictor.history import History
from sagesched_predictor.snapshot import save_history
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
save_history(History(2), pathlib.Path(sys.argv[1]), "f")
"""


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, clock: Clock) -> None:
    file, other = tmp_path / "[a].npz", tmp_path / ".a.npz-of-mine"
    other.touch()
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, file], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    _, keeper = a_keeper(file, clock)
    assert keeper.restore() == []
    assert list(tmp_path.iterdir()) == [other]
