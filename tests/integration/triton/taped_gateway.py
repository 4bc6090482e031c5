"""`sagesched-gateway` with a tape: what its core was made with, told and answered, one pickle each.

The tape's file is the first argument; the rest is the gateway's own command line.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from sagesched_gateway import cli
from sagesched_gateway.scheduling.commands import Command
from sagesched_gateway.scheduling.events import Event
from sagesched_gateway.scheduling.scheduler import Scheduler


def main() -> int:
    """Serve, taping."""
    tape = Path(sys.argv[1]).open("wb", buffering=0)  # noqa: SIM115 (until the process ends)
    make, handle = Scheduler.__init__, Scheduler.handle

    def taped_make(self: Scheduler, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        tape.write(pickle.dumps((arguments, options)))

    def taped_handle(self: Scheduler, event: Event, now: float) -> list[Command]:
        told = pickle.dumps((event, now))  # before anybody could change it
        commands = handle(self, event, now)
        tape.write(told + pickle.dumps(commands))
        return commands

    Scheduler.__init__ = taped_make  # type: ignore[method-assign]
    Scheduler.handle = taped_handle  # type: ignore[method-assign]
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
