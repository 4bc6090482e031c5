"""Cost and service worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy
from sagesched_gateway.scheduling.cost import CostShape, kv_token_steps

ENGINE = EngineCapacity(
    slots=10,
    kv_blocks=100,
    block_tokens=10,
    kv_policy=KvPolicy.MAX_UTILIZATION,
    iteration_s=0.01,
    prefill_s_per_token=1e-4,
)


def service(capacity: EngineCapacity, prompt: int, max_tokens: int, *outputs: float) -> list[float]:
    return list(CostShape.of(capacity).service_steps(prompt, max_tokens, np.array(outputs)))


def changed(**limits: object) -> EngineCapacity:
    return replace(ENGINE, **limits)  # type: ignore[arg-type]


def test_cost_is_the_memory_held_times_the_time():
    # 4²/2 + 10·4 and 200²/2 + 10·200.
    assert kv_token_steps(10.0, np.array([4.0, 200.0])).tolist() == [48.0, 22_000.0]


def test_service_of_an_engine_that_grows_kv():
    # Prefill 10 · 0.01 steps. O = 4: slots 4/10 beat KV 48/1000. O = 200: KV 22,000/1000 beats slots 20.
    assert service(ENGINE, 10, 500, 4, 200) == pytest.approx([0.1 + 0.4, 0.1 + 22.0])


def test_service_of_an_engine_that_reserves_ahead():
    # Held from the first step: (10 + 500) · O over 1000 tokens.
    reserving = changed(kv_policy=KvPolicy.GUARANTEED_NO_EVICT)
    assert service(reserving, 10, 500, 4, 200) == pytest.approx([0.1 + 2.04, 0.1 + 102.0])
    assert service(reserving, 10, 20, 4) == pytest.approx([0.1 + 0.4])


def test_service_without_a_known_pool_is_the_slot_share():
    assert service(changed(kv_blocks=None), 10, 500, 4, 200) == pytest.approx([0.5, 20.1])


def test_the_cheapest_request_costs_its_prefill_and_one_step():
    assert service(ENGINE, 1, 1, 1) == pytest.approx([0.01 + 0.1])


@pytest.mark.parametrize(
    ("limits", "close"),
    [
        ({"iteration_s": 0.015}, True),
        ({"iteration_s": 0.03}, False),
        ({"slots": 12}, True),
        ({"slots": 13}, False),
        ({"kv_blocks": 90}, True),
        ({"kv_blocks": 50}, False),
        ({"kv_blocks": None}, False),
        ({"kv_policy": KvPolicy.GUARANTEED_NO_EVICT}, False),
        ({"max_num_tokens": 1}, True),
    ],
)
def test_a_shape_survives_small_changes(limits, close):
    assert CostShape.of(changed(**limits)).is_close_to(CostShape.of(ENGINE)) is close


def test_free_prefill_is_close_to_itself():
    shape = CostShape.of(changed(prefill_s_per_token=0.0))
    assert shape.is_close_to(shape)
    assert not shape.is_close_to(CostShape.of(ENGINE))
