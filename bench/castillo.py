"""Turn CASTILLO (ten recorded answer lengths per prompt and model) into the project's dataset format.

    python bench/castillo.py --seed 0 --limit 800 --out measured.jsonl
    python bench/castillo.py --seed 0 --exclude measured.jsonl --out warm.jsonl

The second call gives prompts that the first one does not hold, by their text: a predictor warmed on them has
seen none of those it is measured on. Lengths stay as published; a trace cuts them at `max_tokens`, so that an
answer that ran into the publisher's own cap of 15,000 tokens becomes one that ran into ours. Prompt texts
keep the terms of their sources, so write the file outside the repository.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import os
import random
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sagesched_emulator.dataset import DatasetError, Record, read_dataset, write_dataset

DEFAULT_MODEL = "meta-llama--Llama-3.1-8B-Instruct"
NUM_SAMPLES = 10
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRow:
    """Ten answers of one model to one prompt."""

    dataset: str
    category: str
    prompt_id: str
    prompt: str
    prompt_tokens: int
    output_samples: tuple[int, ...]


def default_data_folder() -> Path:
    """`$SAGESCHED_DATA`, else the data folder beside the checkout."""
    named = os.environ.get("SAGESCHED_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


def read_castillo(data: Path, model: str, datasets: Collection[str] = ()) -> list[LengthRow]:
    """Read one model's rows in the order of the file, each prompt text once.

    Args:
        data: the folder that holds `castillo/`.
        model: name as published, `--` or `/` between owner and model.
        datasets: keep only these prompt sets; all when empty.

    Raises:
        DatasetError: files missing, or no row of this model in these sets.
    """
    model = model.replace("/", "--")
    prompts = _prompts(data / "castillo" / "prompts.jsonl.xz")
    rows: dict[str, LengthRow] = {}
    models, sets = set(), set()
    with _opened(data / "castillo" / "lengths.csv.xz") as file:
        for line in csv.DictReader(file):
            models.add(line["model"])
            sets.add(line["dataset"])
            prompt = prompts.get((line["dataset"], line["prompt_id"]))
            if line["model"] != model or prompt is None or (datasets and line["dataset"] not in datasets):
                continue
            row = LengthRow(
                dataset=line["dataset"],
                category=prompt["category"],
                prompt_id=line["prompt_id"],
                prompt=prompt["prompt"],
                prompt_tokens=max(1, int(line["in_tok"])),
                output_samples=tuple(max(1, int(line[f"o{index}"])) for index in range(NUM_SAMPLES)),
            )
            rows.setdefault(_comparable(row.prompt), row)  # some prompts occur in more than one split
    if model not in models:
        raise DatasetError(f"no model {model!r} in CASTILLO; it has {', '.join(sorted(models))}")
    if not rows:
        raise DatasetError(
            f"no rows of {model} in {', '.join(datasets)}; CASTILLO has {', '.join(sorted(sets))}"
        )
    return list(rows.values())


def castillo_records(rows: Iterable[LengthRow], model: str, *, seed: int) -> list[Record]:
    """Rows as dataset records, shuffled by the seed."""
    records = [
        Record(
            prompt=row.prompt,
            prompt_tokens=row.prompt_tokens,
            output_samples=row.output_samples,
            model=model.replace("/", "--"),
            dataset=row.dataset,
            id=f"{row.dataset}-{row.prompt_id}",
        )
        for row in rows
    ]
    random.Random(seed).shuffle(records)
    return records


def without_prompts(records: Iterable[Record], others: Iterable[Record]) -> list[Record]:
    """Records whose prompt text is in none of the others."""
    taken = {_comparable(other.prompt) for other in others}
    return [record for record in records if _comparable(record.prompt) not in taken]


def _comparable(prompt: str) -> str:
    return " ".join(prompt.split())


def _prompts(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with _opened(path) as file:
        lines = [json.loads(line) for line in file]
    return {(line["dataset"], line["prompt_id"]): line for line in lines}


def _opened(path: Path) -> TextIO:
    if not path.is_file():
        raise DatasetError(f"{path} is missing; name the data folder with --data or $SAGESCHED_DATA")
    return lzma.open(path, "rt", encoding="utf-8", newline="")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model as published (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first N of the shuffle")
    parser.add_argument("--limit", type=int, help="write at most N records")
    parser.add_argument("--datasets", nargs="+", default=(), help="keep only these prompt sets")
    parser.add_argument(
        "--exclude", type=Path, action="append", default=[], help="leave out prompts of this dataset file"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data_folder(),
        help="folder that holds castillo/ (default: $SAGESCHED_DATA)",
    )
    arguments = parser.parse_args(argv)
    try:
        rows = read_castillo(arguments.data, arguments.model, arguments.datasets)
        records = castillo_records(rows, arguments.model, seed=arguments.seed)
        for path in arguments.exclude:
            records = without_prompts(records, read_dataset(path))
        end = None if arguments.limit is None else arguments.skip + arguments.limit
        records = records[arguments.skip : end]
        if not records:
            raise DatasetError("nothing is left; use a smaller --skip, a larger --limit or fewer --exclude")
        write_dataset(arguments.out, records)
    except (DatasetError, OSError) as error:
        print(f"castillo: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: {len(records)} prompts of {arguments.model}, seed {arguments.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
