"""What clients shall send, as one JSON document: made by a scenario, read by the process of the clients."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

TRITON = "tritonclient"
OPENAI = "openai"
CANCELLED = "CANCELLED"
"""What gRPC says of a request that a server which stops has not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a trace.

    Attributes:
        prompt: its text.
        max_tokens: cap on its answer.
        tokens: length that its answer will have.
        at_s: when it is sent, after the start.
    """

    prompt: str
    max_tokens: int
    tokens: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Clients and what they do.

    Attributes:
        target: host of the Service or pod.
        client: `TRITON` (gRPC, port 8001) or `OPENAI` (HTTP, port 8000).
        model: name that they ask for.
        connections: clients, each with a connection of its own.
        streams: requests that each has open at a time, one after another, until told to end.
        tokens: shortest and longest answer that they ask for.
        pause_s: between two requests of a stream.
        name: beginning of the requests' ids and prompts, so that no two loads have one in common.
        trace: in place of streams: these requests, each at its time, whatever became of those before.
    """

    target: str
    client: str = TRITON
    model: str = "ensemble"
    connections: int = 4
    streams: int = 2
    tokens: tuple[int, int] = (10, 60)
    pause_s: float = 0.05
    name: str = "load"
    trace: tuple[Request, ...] = ()

    def write(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Load:
        """What `write` has written."""
        values = json.loads(file.read_text())
        trace = tuple(Request(**each) for each in values.pop("trace"))
        return cls(**values | {"trace": trace, "tokens": tuple(values["tokens"])})


@dataclass(slots=True, kw_only=True)
class Timing:
    """When what happened to a request, Unix time; None for what did not happen.

    Attributes:
        id: of the request.
        due: when it had to be sent.
        first: first piece of its answer.
        last: its end.
        end: how it ended, as in the ledger.
    """

    id: str
    due: float
    first: float | None = None
    last: float | None = None
    end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of a load.

    Attributes:
        problems: lost, doubled or wrong answers, in words; empty where all is well.
        ends: how many requests ended how.
        timings: one per request.
    """

    problems: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)

    @property
    def num_complete(self) -> int:
        """Requests that got all of their own tokens."""
        return self.ends.get("complete", 0)

    @property
    def errors(self) -> dict[str, int]:
        """How many requests ended with which error."""
        return {how: num for how, num in self.ends.items() if how != "complete"}

    def in_words(self) -> str:
        """For the table of scenarios."""
        total = len(self.timings)
        errors = ", ".join(f"{num} × {how}" for how, num in sorted(self.errors.items())) or "none"
        wrong = len(self.problems)
        return f"{total} requests: {self.num_complete} complete, errors: {errors}, lost or wrong: {wrong}"

    def write(self, file: Path) -> None:
        """As JSON, at once or not at all."""
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(file)

    @classmethod
    def read(cls, file: Path) -> Account:
        """What `write` has written."""
        values = json.loads(file.read_text())
        return cls(**values | {"timings": [Timing(**each) for each in values["timings"]]})
