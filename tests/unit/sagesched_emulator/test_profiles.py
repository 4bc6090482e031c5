import dataclasses

import pytest

from sagesched_emulator.profiles import PROFILES, profile
from sagesched_gateway.scheduling.capacity import KvPolicy


def test_knows_its_engines_by_name() -> None:
    assert set(PROFILES) == {
        "kv-bound",
        "slot-bound",
        "kv-ahead",
        "kv-half",
        "h100-8b",
        "h200-8b",
        "h100-32b",
        "instant",
    }
    assert all(known.name == name for name, known in PROFILES.items())


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown engine profile 'b200', one of kv-bound, slot-bound"):
        profile("b200")


def test_kv_bound_is_the_published_engine() -> None:
    engine = profile("kv-bound")
    assert (engine.kv_tokens, engine.max_batch_size) == (24_000, 256)
    assert engine.kv_policy is KvPolicy.MAX_UTILIZATION
    # 10 ms + 50 sequences + 24,000 cached tokens
    assert engine.step_time.seconds(50, 24_000, 0) == pytest.approx(11.96e-3)
    # C(100, 400) = 400^2 / 2 + 100 x 400 = 120,000 KV-token-steps, of 2 million a second
    assert engine.work(100, 400) == pytest.approx(0.06)


def test_half_an_engine_full_of_requests_is_as_fast_as_the_whole() -> None:
    whole, half = profile("kv-bound"), profile("kv-half")
    assert (half.kv_tokens, half.max_batch_size) == (12_000, 128)
    assert half.step_time.seconds(25, 12_000, 100) == whole.step_time.seconds(50, 24_000, 200)
    assert half.work(100, 400) == 2 * whole.work(100, 400)


def test_slot_bound_is_the_published_engine() -> None:
    engine = profile("slot-bound")
    assert engine.max_batch_size == 32
    assert engine.kv_tokens >= 32 * (engine.max_num_tokens + 8192)
    # 400 x 10.64 ms / 32 + 100 x 70 us
    assert engine.work(100, 400) == pytest.approx(0.133 + 0.007)


def test_work_of_an_engine_without_published_rates() -> None:
    engine = dataclasses.replace(profile("kv-bound"), work_rates=None, max_batch_size=40)
    # own terms: 100 x 70 us + 400 x 20 us + 120,000 x 40 ns = 7 + 8 + 4.8 ms;
    # base: 400 / 40 = 10 steps' worth of slots against 120,000 / 24,000 = 5 of KV, so 10 x 10 ms
    assert engine.work(100, 400) == pytest.approx(0.1198)
    # with twice the slots KV is as scarce; with more it is what counts
    assert dataclasses.replace(engine, max_batch_size=200).work(100, 400) == pytest.approx(0.0698)


def test_a_faster_card_does_less_time_per_request() -> None:
    assert profile("h200-8b").work(500, 500) < profile("h100-8b").work(500, 500)
    assert profile("h100-8b").work(500, 500) < profile("h100-32b").work(500, 500)


def test_pools_of_real_cards_hold_what_memory_leaves() -> None:
    # (80 - 3.5) GiB less 16.1 GB of weights, nine tenths of it, at 128 KiB per token
    assert profile("h100-8b").kv_tokens == pytest.approx(453_500, rel=1e-3)
    assert profile("h200-8b").kv_tokens > 1.9 * profile("h100-8b").kv_tokens


def test_instant_takes_a_fifth_of_a_millisecond() -> None:
    assert profile("instant").step_time.seconds(256, 100_000, 8192) == pytest.approx(0.2e-3)


def test_tells_a_gateway_its_capacity() -> None:
    capacity = profile("slot-bound").capacity()
    assert (capacity.slots, capacity.block_tokens, capacity.max_num_tokens) == (32, 32, 8192)
    assert capacity.kv_blocks == profile("slot-bound").kv_blocks
    assert capacity.prefill_s_per_token == 70e-6
    # 10 ms + 32 sequences of 512 tokens
    assert capacity.iteration_s == pytest.approx(10e-3 + 32 * 20e-6 + 32 * 512 * 40e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kv_blocks": 0}, "at least 1"), ({"max_num_tokens": 255}, "at least max_batch_size")],
)
def test_refuses_limits_that_cannot_run(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(profile("kv-bound"), **change)
