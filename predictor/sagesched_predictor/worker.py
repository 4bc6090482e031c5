"""The predictor as a child process of the gateway: one JSON per line, in on stdin, out on stdout.

This file only sets the process up; `service.py` does the work. The order matters: numpy reads its thread
limits when it is first imported, so they are set before anything of this package that needs numpy.

A child process because a crash, a hang or an out-of-memory in a model must cost order, not requests. It
lowers its own priority: a prediction that comes late is worth less than a token that comes late.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

NICENESS = 10
OOM_SCORE = Path("/proc/self/oom_score_adj")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stdin ends; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sagesched_predictor.worker",
        description="Predict output lengths for the gateway: newline-delimited JSON on stdin and stdout.",
    )
    parser.add_argument(
        "--settings", required=True, metavar="JSON", help='e.g. {"encoder": "/path/of/folder"}'
    )
    settings_text = parser.parse_args(arguments).settings
    _be_a_modest_child()
    from sagesched_predictor.errors import PredictorError
    from sagesched_predictor.service import serve
    from sagesched_predictor.worker_settings import WorkerSettings

    # Only answers may reach the pipe: whatever a library prints goes to stderr.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", newline="\n")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        settings = WorkerSettings.parse(settings_text)
        serve(settings, sys.stdin.buffer, answers, when_ready=lambda: os.nice(NICENESS))
    except PredictorError as error:
        return _cannot(str(error), answers, 1)
    except ValueError as error:
        return _cannot(f"--settings: {error}", answers, 2)
    return 0


def _cannot(why: str, answers: TextIO, code: int) -> int:
    """Say why in both directions: to whoever started it, and in its log."""
    from sagesched_predictor.messages import note_line

    print(f"sagesched-predictor: {why}", file=sys.stderr)
    with contextlib.suppress(OSError):
        print(note_line(why), file=answers, flush=True)
    return code


def _be_a_modest_child() -> None:
    # A Ctrl-C in the terminal reaches the whole group; the gateway drains and then closes our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where memory is short, the kernel shall end this process and not the gateway, which shares its limit.
    with contextlib.suppress(OSError):
        OOM_SCORE.write_text("1000")
    # BLAS threads spin while idle; one search is a memory-bound product that gains nothing from a second
    # thread.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


if __name__ == "__main__":
    sys.exit(main())
