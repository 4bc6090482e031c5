from __future__ import annotations

import os
import stat

import pytest

from sagesched_gateway.recording.rotating_file import RotatingFile


@pytest.fixture
def opened(tmp_path):
    files = []

    def make(max_bytes=100, files_kept=2, name="log.jsonl"):
        files.append(RotatingFile(tmp_path / name, max_bytes=max_bytes, files=files_kept))
        return files[-1]

    yield make
    for file in files:
        file.close()


def test_lines_are_appended_to_a_private_file(opened, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"old\n")
    path.chmod(0o644)
    opened().write([b"a\n", b"b\n"])
    opened().write([b"c\n"])
    assert path.read_bytes() == b"old\na\nb\nc\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_full_files_are_put_aside_and_the_oldest_goes(opened, tmp_path):
    file = opened(max_bytes=8, files_kept=2)
    for number in range(9):
        file.write([b"abc%d\n" % number] if number % 2 else [b"x\n", b"y\n"])
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(contents) == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert all(len(content) <= 10 for content in contents.values())
    written = contents["log.jsonl.2"] + contents["log.jsonl.1"] + contents["log.jsonl"]
    everything = b"".join(b"abc%d\n" % number if number % 2 else b"x\ny\n" for number in range(9))
    assert everything.endswith(written)
    assert stat.S_IMODE((tmp_path / "log.jsonl.1").stat().st_mode) == 0o600


def test_one_batch_may_fill_several_files(opened, tmp_path):
    opened(max_bytes=4, files_kept=9).write([b"%d\n" % number for number in range(6)])
    assert (tmp_path / "log.jsonl").read_bytes() == b"4\n5\n"
    assert (tmp_path / "log.jsonl.1").read_bytes() == b"2\n3\n"
    assert (tmp_path / "log.jsonl.2").read_bytes() == b"0\n1\n"


def test_a_line_longer_than_a_file_is_written_whole(opened, tmp_path):
    file = opened(max_bytes=4)
    file.write([b"a\n", b"very long\n", b"b\n"])
    assert (tmp_path / "log.jsonl.1").read_bytes() == b"very long\n"


def test_a_file_that_somebody_took_away_does_not_hinder(opened, tmp_path):
    file = opened(max_bytes=4)
    file.write([b"abc\n"])
    (tmp_path / "log.jsonl").unlink()
    file.write([b"def\n"])
    assert (tmp_path / "log.jsonl").read_bytes() == b"def\n"
    assert not (tmp_path / "log.jsonl.1").exists()


@pytest.mark.parametrize("torn", [b"half a li", b"x" * 200_000])
def test_a_torn_line_is_cut_off(opened, tmp_path, torn):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"whole\n" + torn)
    opened(max_bytes=10**6).write([b"next\n"])
    assert path.read_bytes() == b"whole\nnext\n"
    path.write_bytes(torn)
    opened(max_bytes=10**6).write([b"only\n"])
    assert path.read_bytes() == b"only\n"


def test_a_link_a_folder_and_a_pipe_are_refused(opened, tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    os.symlink("target", tmp_path / "link")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        with pytest.raises(OSError, match=name):
            opened(name=name).write([b"a\n"])
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_write_that_ends_half_way_leaves_whole_lines(opened, tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    file = opened()
    file.write([b"first\n"])
    write = os.write

    def no_space_after_three(handle, rest):
        if len(rest) < 7:
            raise OSError(28, "No space left on device")
        return write(handle, rest[:3])

    monkeypatch.setattr(os, "write", no_space_after_three)
    with pytest.raises(OSError, match="No space left"):
        file.write([b"second\n", b"third\n"])
    monkeypatch.undo()
    assert path.read_bytes() == b"first\n"
    file.write([b"fourth\n"])
    assert path.read_bytes() == b"first\nfourth\n"


@pytest.mark.parametrize("deed", ["removed", "moved", "replaced", "emptied"])
def test_a_file_that_somebody_takes_away_or_empties_goes_on_where_the_path_leads(opened, tmp_path, deed):
    path = tmp_path / "log.jsonl"
    file = opened(max_bytes=12 if deed == "emptied" else 100)
    file.write([b"before\n"])
    if deed == "removed":
        path.unlink()
    elif deed == "emptied":
        os.truncate(path, 0)
    else:
        path.rename(tmp_path / "taken")
        if deed == "replaced":
            path.touch()
    file.write([b"after\n"])
    assert path.read_bytes() == b"after\n"
    assert not (tmp_path / "log.jsonl.1").exists(), "what was taken away does not count"
