from __future__ import annotations

import pytest

from sagesched_emulator.dataset import Record
from sagesched_replay.adaptation import set_apart

RECORDS = [Record(prompt=f"p{n % 20}", output_tokens=n + 1) for n in range(40)]


def test_no_prompt_is_observed_and_replayed() -> None:
    replayed, observed = set_apart(RECORDS, 5, seed=1)
    assert len({record.prompt for record in observed}) == 5
    assert not {record.prompt for record in observed} & {record.prompt for record in replayed}
    assert sorted(r.output_tokens or 0 for r in [*replayed, *observed]) == list(range(1, 41))


def test_the_seed_decides_which() -> None:
    assert set_apart(RECORDS, 5, seed=1) == set_apart(RECORDS, 5, seed=1)
    assert set_apart(RECORDS, 5, seed=1) != set_apart(RECORDS, 5, seed=2)
    assert set_apart(RECORDS, 0, seed=1) == (RECORDS, [])


def test_something_must_be_left_to_replay() -> None:
    with pytest.raises(ValueError, match="observing 20 prompts leaves none of 20"):
        set_apart(RECORDS, 20, seed=1)
