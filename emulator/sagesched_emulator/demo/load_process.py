"""The load client in a process of its own, so that it shares no interpreter with what it measures.

Parent and child meet in two JSON files (what to send, what happened); the child prints a line of progress
twice a second and ends by itself when its standard input closes, so it never outlives the parent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sagesched_emulator.demo.errors import LoadError
from sagesched_emulator.load import LoadRequest, LoadSpec, run_load
from sagesched_emulator.load_result import LoadResult, RequestTiming

STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is.

    Attributes:
        sent: requests sent so far.
        ended: answers ended so far, good or bad.
    """

    sent: int
    ended: int


class LoadProcess:
    """A running client; use as a context manager, iterate `progress()` to its end, then take `result()`."""

    def __init__(self, spec: LoadSpec, folder: Path) -> None:
        """Start to send at once.

        Args:
            spec: the load.
            folder: where the two files go; must exist.
        """
        self._result_path = folder / "load-result.json"
        self._result_path.unlink(missing_ok=True)
        spec_path = folder / "load-spec.json"
        spec_path.write_text(json.dumps(asdict(spec)), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(spec_path), str(self._result_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the parent, which then stops its children in order
        )

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(BrokenPipeError):
            self._process.communicate(timeout=STOP_WITHIN_S)

    def progress(self) -> Iterator[Progress]:
        """Yield about twice a second until the load is over."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield Progress(**json.loads(line))

    def result(self) -> LoadResult:
        """What happened; call when `progress` has ended.

        Raises:
            LoadError: the client failed.
        """
        _, errors = self._process.communicate(timeout=STOP_WITHIN_S)
        if self._process.returncode != 0 or not self._result_path.exists():
            last_line = (errors.strip().splitlines() or ["no message"])[-1]
            raise LoadError(f"the load client failed: {last_line}")
        fields = json.loads(self._result_path.read_text(encoding="utf-8"))
        return LoadResult(**{**fields, "timings": [RequestTiming(**timing) for timing in fields["timings"]]})


def read_spec(path: Path) -> LoadSpec:
    """Read a load as the parent wrote it."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return LoadSpec(**{**fields, "requests": tuple(LoadRequest(**request) for request in fields["requests"])})


def main() -> int:
    """Entry of the child: `SPEC RESULT` are the two files."""
    spec_path, result_path = (Path(argument) for argument in sys.argv[1:])
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    gc.disable()  # a collection over all messages would make the client late; the process is short-lived
    try:
        result = asyncio.run(run_load(read_spec(spec_path), _print_progress))
    except ConnectionError as error:
        print(error, file=sys.stderr)
        return 1
    temporary = result_path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(result)), encoding="utf-8")
    temporary.replace(result_path)
    return 0


def _print_progress(sent: int, ended: int) -> None:
    print(json.dumps({"sent": sent, "ended": ended}), flush=True)


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
