"""What benchmarks share that live through a trace and replay it: the gateway in replay, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sagesched_emulator.figures import ratio
from sagesched_emulator.iteration import Emission
from sagesched_emulator.trace import TraceRequest
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_replay.fronts import Gateway
from sagesched_replay.knowledge import Knowledge
from sagesched_replay.replay import Replay, ReplaySettings

Ttlt = tuple[float, float]
"""Mean and p99 of TTLT, seconds."""


class Estimating(Gateway):
    """A gateway without the model's tokenizer: characters per token, learned from the engine's own counts."""

    def __init__(
        self, world: Replay, capacity: EngineCapacity, settings: ReplaySettings, knowledge: Knowledge
    ) -> None:
        super().__init__(world, capacity, settings, knowledge)
        self._served = world.served
        self._counter = TokenCounter()

    def arrive(self, request: TraceRequest) -> None:
        """Tell the scheduler what it would be told."""
        super().arrive(replace(request, prompt_tokens=self._counter.count_prompt(request.prompt)))

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """Answers bring the engine's count of their prompts."""
        for emission in emissions:
            if emission.first:
                request = self._served[emission.request_id].request
                self._counter.learn(request.prompt, request.prompt_tokens)
        super().tokens(emissions)


def compared(title: str, runs: Mapping[str, tuple[Ttlt, Ttlt]], tolerance: float) -> int:
    """Print the table, and how far both are apart at most.

    Args:
        title: of the first column: what is measured, in which seconds.
        runs: policy → what was lived, what was replayed.
        tolerance: what a ratio may differ from one.

    Returns:
        Exit status: 0 where all are near enough.
    """
    print(f"\n{title:<17}{'lived mean':>11}{'replayed':>10}{'ratio':>7}", end="")
    print(f"{'lived p99':>12}{'replayed':>10}{'ratio':>7}")
    apart = 0.0
    for name, (lived, replayed) in runs.items():
        mean, tail = (ratio(one, other) for one, other in zip(lived, replayed, strict=True))
        apart = max(apart, abs(mean - 1), abs(tail - 1))
        print(
            f"{name:<17}{lived[0]:>11.2f}{replayed[0]:>10.2f}{mean:>7.3f}"
            f"{lived[1]:>12.2f}{replayed[1]:>10.2f}{tail:>7.3f}"
        )
    print(f"largest difference: {apart:.1%} (allowed {tolerance:.0%})")
    return 0 if apart <= tolerance else 1
