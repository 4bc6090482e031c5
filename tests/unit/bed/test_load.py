"""Loads and accounts go from process to process as files."""

from __future__ import annotations

from pathlib import Path

from bed.load import Account, Load, Request, Timing


def test_a_load_is_read_as_it_was_written(tmp_path: Path) -> None:
    request = Request(prompt="a", max_tokens=5, tokens=4, at_s=0.5)
    load = Load(target="10.0.0.1", tokens=(1, 2), trace=(request,))
    load.write(tmp_path / "load")
    assert Load.read(tmp_path / "load") == load


def test_an_account_is_read_as_it_was_written(tmp_path: Path) -> None:
    timings = [
        Timing(id="a", due=1.0, first=1.5, last=3.0, end="complete"),
        Timing(id="b", due=1.0, last=2.0, end="draining"),
    ]
    account = Account(problems=["b: lost"], ends={"complete": 1, "draining": 1}, timings=timings)
    account.write(tmp_path / "account")
    read = Account.read(tmp_path / "account")
    assert read == account
    assert read.num_complete == 1
    assert read.errors == {"draining": 1}
    assert read.in_words() == "2 requests: 1 complete, errors: 1 × draining, lost or wrong: 1"
