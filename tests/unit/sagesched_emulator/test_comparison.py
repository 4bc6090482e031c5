from __future__ import annotations

from sagesched_emulator.comparison import REPLAYED
from sagesched_emulator.dataset import Record
from sagesched_emulator.knowledge import Ignorance
from sagesched_emulator.profiles import profile
from sagesched_emulator.replay import ReplaySettings, replay
from sagesched_emulator.trace import draw_trace
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.settings import PolicySettings


def test_wspt_starts_the_shortest_prompt_that_waits() -> None:
    records = [
        Record(prompt="p", prompt_tokens=tokens, output_tokens=400, max_tokens=512)
        for tokens in (50, 900, 700, 500, 300, 100) * 100
    ]
    engine = profile("kv-bound")
    trace = draw_trace(records, profile=engine, rho=50.0, num_requests=600, seed=0)
    run = replay(trace, engine, ReplaySettings(policy=PolicySettings(name="wspt")), Ignorance())
    # What arrived in the first moments found a free engine; of the rest the shortest prompts went first.
    waited = [one for one in run.served if one.started_at is not None and one.started_at > trace.span_s]
    starts = sorted(waited, key=lambda one: (one.started_at, one.request.prompt_tokens))
    order = [one.request.prompt_tokens for one in starts]
    assert len(order) > 100
    assert order == sorted(order)


def test_replay_knows_the_gateways_policies_and_more() -> None:
    assert set(REPLAYED) == {*POLICIES, "wspt"}
