"""Reading published sets: what may be used, what was cut off, and what stays out."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from sagesched_predictor.errors import DatasetError
from sagesched_predictor.training.data_pack import CASTILLO_CAP, CASTILLO_SETS, SOURCES, read_pack

HEADER = "split,dataset,model,sample_id,prompt_id,in_tok,temp,top_p,top_k,gen_time_s," + ",".join(
    f"o{i}" for i in range(10)
)


def a_castillo(folder: Path, *rows: str) -> Path:
    place = folder / "castillo"
    place.mkdir()
    sets = ("DollyDataset", "Alpaca", "ShareGPT")
    prompts = [{"dataset": name, "prompt_id": "p", "prompt": f"of {name}"} for name in sets]
    with lzma.open(place / "prompts.jsonl.xz", "wt") as file:
        file.writelines(json.dumps(prompt) + "\n" for prompt in prompts)
    with lzma.open(place / "lengths.csv.xz", "wt") as file:
        file.write("\n".join([HEADER, *rows]) + "\n")
    return folder


def a_row(dataset: str, *lengths: int) -> str:
    return f"train,{dataset},owner--M,s,p,12,0.6,0.9,50,1.0," + ",".join(map(str, lengths))


def test_sets_that_forbid_it_are_never_read(tmp_path: Path) -> None:
    rows = [a_row(name, *range(1, 11)) for name in ("DollyDataset", "Alpaca", "ShareGPT")]
    examples = list(read_pack(a_castillo(tmp_path, *rows)))
    assert [example.dataset for example in examples] == ["DollyDataset"]
    assert not {"Alpaca", "ShareGPT"} & set(CASTILLO_SETS)
    assert all(source.folder != "alpaca_eval" for source in SOURCES)
    assert all(source.licence and source.attribution for source in SOURCES)


def test_answers_at_the_publishers_cap_were_cut_off(tmp_path: Path) -> None:
    (example,) = read_pack(a_castillo(tmp_path, a_row("DollyDataset", *[100] * 9, 20_000)))
    assert example.lengths == (*[100] * 9, CASTILLO_CAP)
    assert [example.is_cut(length) for length in example.lengths] == [*[False] * 9, True]
    assert (example.prompt, example.prompt_tokens, example.max_tokens) == ("of DollyDataset", 12, 0)
    assert example.model == "castillo/owner--M"
    assert example.temperature is None


def test_a_damaged_set_is_named(tmp_path: Path) -> None:
    folder = a_castillo(tmp_path, a_row("DollyDataset", 1, 2))
    with pytest.raises(DatasetError, match="castillo"):
        list(read_pack(folder))
