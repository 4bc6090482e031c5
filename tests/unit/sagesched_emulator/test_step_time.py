import pytest

from sagesched_emulator.step_time import StepTime

PLAIN = StepTime(base_s=10e-3, per_sequence_s=20e-6, per_cached_token_s=40e-9, prefill_s_per_token=70e-6)


def test_sums_its_four_terms() -> None:
    # 10 ms + 50 x 20 us + 24,000 x 40 ns + 100 x 70 us = 10 + 1 + 0.96 + 7 ms
    assert PLAIN.seconds(50, 24_000, 100) == pytest.approx(18.96e-3)


def test_an_empty_batch_costs_the_base() -> None:
    assert PLAIN.seconds(0, 0, 0) == 10e-3


@pytest.mark.parametrize("wrong", [-1e-9, float("nan"), float("inf")])
def test_refuses_impossible_coefficients(wrong: float) -> None:
    with pytest.raises(ValueError, match="per_sequence_s"):
        StepTime(1e-3, wrong, 0.0, 0.0)
