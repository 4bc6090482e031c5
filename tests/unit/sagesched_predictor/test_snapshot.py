from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sagesched_predictor.errors import SnapshotError
from sagesched_predictor.history import History
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.series_key import SeriesKey
from sagesched_predictor.snapshot import COLUMNS, LESSONS, load_history, read_snapshot, save_history

ONE, TWO = SeriesKey("one"), SeriesKey("two", "greedy", "acme")


def a_history(num_records: int, *, size: int = 8) -> History:
    history = History(3, size=size)
    for i in range(num_records):
        vector = np.eye(3, dtype=np.float32)[i % 3]
        for key in (ONE, TWO):
            history.ring(key).append(
                vector,
                np.full(NUM_FEATURES, i, dtype=np.float32),
                output_tokens=10 * i + len(key.regime),
                prompt_tokens=i,
                censored=i == 2,
                recorded_at=1e9 + i,
            )
    return history


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "history.npz"
    save_history(a_history(5), path, "print")
    return path


def test_comes_back_as_it_was(saved: Path) -> None:
    loaded = History(3, size=8)
    assert load_history(loaded, saved, "print") == 10
    original = a_history(5)
    assert loaded.keys == original.keys == [ONE, TWO]
    for key in original.keys:
        for column in COLUMNS:
            assert np.array_equal(getattr(loaded.ring(key), column), getattr(original.ring(key), column))


def test_what_was_learned_beside_the_records_comes_back(tmp_path: Path) -> None:
    history, loaded, path = a_history(5), History(3), tmp_path / "h.npz"
    history.ring(TWO).lessons.merits[:] = [[0.5, 0.0, -1.0, 0.25], [0.0, 1.0, 0.0, 0.0]]
    history.ring(TWO).lessons.repeats[:] = [9.0, 11.0, 12.0, 13.0]
    save_history(history, path, "print")
    load_history(loaded, path, "print")
    for key in (ONE, TWO):
        for name in LESSONS:
            assert np.array_equal(
                getattr(loaded.ring(key).lessons, name), getattr(history.ring(key).lessons, name)
            )


def test_a_file_from_before_there_were_lessons_is_read(saved: Path) -> None:
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files if name.rsplit("_", 1)[0] not in LESSONS}
    np.savez(saved, **arrays)
    loaded = History(3)
    assert load_history(loaded, saved, "print") == 10
    assert not loaded.ring(ONE).lessons.merits.any()


def test_only_the_owner_may_read_it_and_nothing_else_is_left(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert list(saved.parent.iterdir()) == [saved]


def test_a_full_ring_is_saved_by_age(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    save_history(a_history(11, size=4), path, "print")
    assert read_snapshot(path).series[ONE].prompt_tokens.tolist() == [7, 8, 9, 10]


def test_a_smaller_history_keeps_the_newest(saved: Path) -> None:
    loaded = History(3, size=2)
    load_history(loaded, saved, "print")
    ring = loaded.ring(ONE)
    assert ring.prompt_tokens[ring.by_age()].tolist() == [3, 4]


def test_an_empty_history_can_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    save_history(History(3), path, "print")
    assert load_history(History(3), path, "print") == 0


def test_refuses_another_encoder(saved: Path) -> None:
    with pytest.raises(SnapshotError, match="another encoder"):
        load_history(History(3), saved, "other print")


def test_refuses_other_inputs(saved: Path) -> None:
    with pytest.raises(SnapshotError, match="another version"):
        load_history(History(4), saved, "print")


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_damaged_file_is_named(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(SnapshotError, match=r"history\.npz: not a history file, or damaged"):
        read_snapshot(saved)


def test_a_flipped_byte_is_noticed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    position = content.index(b"embeddings_0") + 200
    content[position] ^= 0xFF
    saved.write_bytes(content)
    with pytest.raises(SnapshotError, match="damaged"):
        read_snapshot(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [(6, 255), (8, 1)],
    ids=["a version to come", "a flag for a password"],
)
def test_a_flipped_byte_of_the_archives_own_is_damage_too(saved: Path, field: int, value: int) -> None:
    content = bytearray(saved.read_bytes())
    content[content.rindex(b"PK\x01\x02") + field] = value
    saved.write_bytes(content)
    with pytest.raises(SnapshotError, match="damaged"):
        read_snapshot(saved)


@pytest.mark.parametrize("shape", ["(100000000000000, 128)", "(99999999999999999999,)", "(((1,)"])
def test_a_shape_that_cannot_be_is_damage_too(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "shape.npz"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("format.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(SnapshotError, match="damaged"):
        read_snapshot(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no such history file"):
        read_snapshot(tmp_path / "nowhere.npz")


def test_other_arrays_are_no_history(tmp_path: Path) -> None:
    bare, foreign, newer = tmp_path / "bare.npz", tmp_path / "foreign.npz", tmp_path / "newer.npz"
    with bare.open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(foreign, x=np.zeros(3))
    np.savez(newer, format=np.array(3))
    for path in (bare, foreign, newer):
        with pytest.raises(SnapshotError, match=path.name):
            read_snapshot(path)


def test_runs_no_code_of_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, format=np.array([object()], dtype=object))
    with pytest.raises(SnapshotError, match="damaged"):
        read_snapshot(path)


@pytest.mark.parametrize("broken", ["short", "infinite", "few merits", "no merit", "nothing repeated"])
def test_columns_that_do_not_fit_are_refused(saved: Path, broken: str) -> None:
    with np.load(saved) as file:
        arrays = dict(file)
    if broken == "short":
        arrays["output_tokens_0"] = arrays["output_tokens_0"][:-1]
    elif broken == "infinite":
        arrays["embeddings_0"][0, 0] = np.inf
    elif broken == "few merits":
        arrays["merits_0"] = arrays["merits_0"][:-1]
    elif broken == "no merit":
        arrays["merits_0"][0, 0] = np.nan
    else:
        arrays["repeats_0"][:] = 0
    np.savez(saved, **arrays)
    with pytest.raises(SnapshotError, match="damaged"):
        read_snapshot(saved)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot write"):
        save_history(History(3), tmp_path / "no" / "folder.npz", "print")
