"""What the benches of part "under pressure" share: traces of recorded prompts, and runs of them.

Lengths are CASTILLO's: ten answers of one model to each prompt, one of which is the truth and nine are what
is known of it.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo

from sagesched_emulator.dataset import Record, read_dataset


def add_arguments(parser: argparse.ArgumentParser, *, requests: int) -> None:
    """Options that all of them have."""
    parser.add_argument("--data", type=Path, help="dataset file (default: CASTILLO of the data pack)")
    parser.add_argument("--engine", default="kv-bound", help="engine profile (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=requests, help="per seed (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: %(default)s)")


def records_of(arguments: argparse.Namespace) -> list[Record]:
    """The records to draw traces from.

    Raises:
        DatasetError: the data cannot be read.
    """
    if arguments.data is not None:
        return read_dataset(arguments.data)
    return castillo_records(read_castillo(default_data_folder(), DEFAULT_MODEL), DEFAULT_MODEL, seed=0)


def heading(arguments: argparse.Namespace, records: Sequence[Record]) -> str:
    """What was run on what, for the first line of a report."""
    digest = hashlib.sha256(repr(records).encode()).hexdigest()[:12]
    return (
        f"{arguments.requests} requests on {arguments.engine}, seeds 0-{arguments.seeds - 1}, data {digest}, "
        f"{platform.machine()}"
    )
