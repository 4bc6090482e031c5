"""What holds for any engine, any requests, and any moment of submitting and stopping."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Iteration
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_gateway.scheduling.capacity import KvPolicy

STEP_TIME = StepTime(1.0, 0.1, 0.01, 0.05)
MAX_PROMPT = 8
MAX_OUTPUT = 12


@dataclass(frozen=True)
class Ask:
    """A request, the step before which it is submitted, and the one before which it is stopped."""

    at_step: int
    prompt_tokens: int
    max_tokens: int
    output_tokens: int
    stop_step: int | None

    @property
    def full_tokens(self) -> int:
        return min(self.max_tokens, self.output_tokens)


@dataclass
class Story:
    """All that happened, told by the engine's public face alone."""

    engine: Engine
    asks: dict[str, Ask]
    iterations: list[Iteration] = field(default_factory=list)
    submitted: list[list[str]] = field(default_factory=list)  # by the step before which it came


@st.composite
def profiles(draw: st.DrawFn, policies: tuple[KvPolicy, ...] = tuple(KvPolicy)) -> EngineProfile:
    """Tight ones: the pool holds the largest request and little more, so that sequences are often paused."""
    slots = draw(st.integers(2, 5))
    block_tokens = draw(st.integers(1, 4))
    return EngineProfile(
        name="any",
        step_time=STEP_TIME,
        max_batch_size=slots,
        max_num_tokens=draw(st.integers(MAX_PROMPT, 2 * MAX_PROMPT)),
        kv_blocks=-(-(MAX_PROMPT + MAX_OUTPUT) // block_tokens) + draw(st.integers(0, 4)),
        block_tokens=block_tokens,
        kv_policy=draw(st.sampled_from(policies)),
    )


ASKS = st.lists(
    st.builds(
        Ask,
        at_step=st.integers(0, 6),
        prompt_tokens=st.integers(1, MAX_PROMPT),
        max_tokens=st.integers(1, MAX_OUTPUT),
        output_tokens=st.integers(1, MAX_OUTPUT + 3),
        stop_step=st.none() | st.none() | st.none() | st.integers(0, 40),
    ),
    min_size=3,
    max_size=14,
)


def held_blocks(profile: EngineProfile, ask: Ask, progress: int) -> int:
    """Blocks of a sequence in the iteration that it begins with so many output tokens."""
    reserves_ahead = profile.kv_policy is KvPolicy.GUARANTEED_NO_EVICT
    tokens = ask.prompt_tokens + (ask.max_tokens if reserves_ahead else progress + 1)
    return -(-tokens // profile.block_tokens)


def play(profile: EngineProfile, asks: list[Ask], stream_interval: int = 1) -> Story:
    story = Story(Engine(profile, stream_interval), {f"r{index}": ask for index, ask in enumerate(asks)})
    now, step = 0.0, 0
    while step <= 41 or not story.engine.idle:
        story.submitted.append([name for name, ask in story.asks.items() if ask.at_step == step])
        for name in story.submitted[-1]:
            ask = story.asks[name]
            story.engine.submit(name, ask.prompt_tokens, ask.max_tokens, ask.output_tokens, now)
        for name, ask in story.asks.items():
            if ask.stop_step == step:
                story.engine.stop(name)
        story.iterations.append(story.engine.step(now))
        now = story.iterations[-1].ended_at
        step += 1
        assert step < 1000, "the engine does not come to an end"
    return story


@given(profiles(), ASKS, st.integers(1, 4))
def test_each_request_ends_exactly_once_with_its_own_length(
    profile: EngineProfile, asks: list[Ask], stream_interval: int
) -> None:
    story = play(profile, asks, stream_interval)
    emitted = [emission for iteration in story.iterations for emission in iteration.emissions]
    for name, ask in story.asks.items():
        own = [emission for emission in emitted if emission.request_id == name]
        assert [emission.final for emission in own] == [False] * (len(own) - 1) + [True]
        assert sum(emission.new_tokens for emission in own) == own[-1].total_tokens
        assert own[-1].stopped or own[-1].total_tokens == ask.full_tokens
        assert own[-1].total_tokens <= ask.full_tokens
        assert [emission.first for emission in own] == [own[0].total_tokens > 0] + [False] * (len(own) - 1)
        between = [emission.total_tokens for emission in own[1:-1]]
        assert all(total % stream_interval == 0 for total in between)
        if ask.stop_step is None:
            assert not own[-1].stopped


@given(profiles(), ASKS)
def test_nothing_exceeds_the_limits_and_all_is_free_in_the_end(
    profile: EngineProfile, asks: list[Ask]
) -> None:
    story = play(profile, asks)
    for iteration in story.iterations:
        gauges = iteration.statistics
        assert 0 <= gauges.used_blocks <= gauges.max_blocks
        assert gauges.used_blocks + gauges.free_blocks == gauges.max_blocks
        assert gauges.num_context + gauges.num_generation == gauges.num_scheduled <= profile.max_batch_size
        assert gauges.num_scheduled <= gauges.num_active <= profile.max_batch_size
        assert min(gauges.num_queued, gauges.num_paused) >= 0
    last = story.engine.statistics()
    assert (last.used_blocks, last.num_active, last.num_queued) == (0, 0, 0)


@given(profiles(), ASKS)
def test_time_is_that_of_the_batch_and_never_stands_still_while_it_works(
    profile: EngineProfile, asks: list[Ask]
) -> None:
    story = play(profile, asks)
    running: set[str] = set()
    done = dict.fromkeys(story.asks, 0)
    busy_s = 0.0
    for iteration in story.iterations:
        scheduled = {emission.request_id for emission in iteration.emissions if not emission.stopped}
        length = {name: story.asks[name].prompt_tokens + done[name] for name in scheduled}
        cached = sum(length[name] for name in scheduled & running)
        prefill = sum(length[name] for name in scheduled - running)
        expected = STEP_TIME.seconds(len(scheduled), cached, prefill) if scheduled else 0.0
        assert iteration.ended_at - iteration.started_at == pytest.approx(expected)
        busy_s += expected
        for emission in iteration.emissions:
            done[emission.request_id] = emission.total_tokens
        running = scheduled - {emission.request_id for emission in iteration.emissions if emission.final}
    assert story.engine.statistics().busy_s == pytest.approx(busy_s)


@given(profiles(), ASKS)
def test_what_runs_fits_and_what_waits_at_the_head_does_not(profile: EngineProfile, asks: list[Ask]) -> None:
    """Work conservation, and head of line: with streaming of each token the batch is what emitted."""
    story = play(profile, asks)
    waiting: list[str] = []  # in the order of submission; a paused one goes back to its old place
    order = {name: index for index, name in enumerate(name for names in story.submitted for name in names)}
    progress = dict.fromkeys(story.asks, 0)
    running: set[str] = set()
    for names, iteration in zip(story.submitted, story.iterations, strict=True):
        stopped = {emission.request_id for emission in iteration.emissions if emission.stopped}
        scheduled = {emission.request_id for emission in iteration.emissions if not emission.stopped}
        waiting = sorted({*waiting, *names, *running} - stopped - scheduled, key=order.__getitem__)
        prefilled = sum(story.asks[name].prompt_tokens + progress[name] for name in scheduled - running)
        alone = len(scheduled - running) == 1 and prefilled > profile.max_num_tokens
        assert alone or len(scheduled & running) + prefilled <= profile.max_num_tokens
        if waiting:
            head = story.asks[waiting[0]]
            context = head.prompt_tokens + progress[waiting[0]]
            tokens = len(scheduled & running) + prefilled + context
            assert (
                len(scheduled) == profile.max_batch_size
                or held_blocks(profile, head, progress[waiting[0]]) > iteration.statistics.free_blocks
                or tokens > profile.max_num_tokens
            )
            assert all(order[name] < order[waiting[0]] for name in scheduled)
        assert iteration.statistics.used_blocks == sum(
            held_blocks(profile, story.asks[name], progress[name]) for name in scheduled
        )
        for emission in iteration.emissions:
            progress[emission.request_id] = emission.total_tokens
        running = scheduled - {emission.request_id for emission in iteration.emissions if emission.final}


@given(profiles(policies=(KvPolicy.GUARANTEED_NO_EVICT,)), ASKS)
def test_reserving_ahead_starts_in_the_order_of_submission_and_never_pauses(
    profile: EngineProfile, asks: list[Ask]
) -> None:
    story = play(profile, asks)
    order = [name for names in story.submitted for name in names]
    started = [
        emission.request_id
        for iteration in story.iterations
        for emission in iteration.emissions
        if emission.first
    ]
    assert started == [name for name in order if name in set(started)]
    assert story.engine.statistics().evictions == 0


@given(profiles(), ASKS)
def test_the_interval_of_streaming_changes_nothing_but_emissions(
    profile: EngineProfile, asks: list[Ask]
) -> None:
    fine, coarse = play(profile, asks, 1), play(profile, asks, 5)
    assert [iteration.statistics for iteration in fine.iterations] == [
        iteration.statistics for iteration in coarse.iterations
    ]


@settings(max_examples=30)
@given(profiles(), ASKS)
def test_same_events_give_same_iterations(profile: EngineProfile, asks: list[Ask]) -> None:
    assert play(profile, asks).iterations == play(profile, asks).iterations
