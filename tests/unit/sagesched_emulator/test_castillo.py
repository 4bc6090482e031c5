"""The converter from recorded answers to the dataset format, on a small pack of our own."""

import importlib.util
import json
import lzma
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sagesched_emulator.dataset import read_dataset

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="module")
def castillo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("castillo", BENCH / "castillo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["castillo"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Twenty prompts, one of them in two splits; two models."""
    folder = tmp_path / "castillo"
    folder.mkdir()
    prompts = [
        {
            "prompt_id": f"p{n}",
            "dataset": "Own" if n < 12 else "Other",
            "category": "c",
            "prompt": f"prompt {n}",
        }
        for n in range(20)
    ]
    prompts.append({"prompt_id": "again", "dataset": "Own", "category": "c", "prompt": "prompt  0\n"})
    rows = ["split,dataset,model,sample_id,prompt_id,in_tok," + ",".join(f"o{n}" for n in range(10))]
    for number, prompt in enumerate(prompts):
        for model in ("maker--small", "maker--large"):
            lengths = ",".join(str(100 * number + sample) for sample in range(10))
            rows.append(
                f"train,{prompt['dataset']},{model},s{number},{prompt['prompt_id']},{number},{lengths}"
            )
    with lzma.open(folder / "prompts.jsonl.xz", "wt") as file:
        file.writelines(json.dumps(prompt) + "\n" for prompt in prompts)
    with lzma.open(folder / "lengths.csv.xz", "wt") as file:
        file.write("\n".join(rows) + "\n")
    return tmp_path


def converted(castillo: ModuleType, pack: Path, name: str, *arguments: str) -> Path:
    out = pack / name
    assert castillo.main(["--model", "maker/small", "--data", str(pack), "--out", str(out), *arguments]) == 0
    return out


def test_each_prompt_comes_once_with_its_ten_answers(castillo: ModuleType, pack: Path) -> None:
    records = read_dataset(converted(castillo, pack, "all.jsonl"))
    assert len(records) == 20
    seventh = next(record for record in records if record.prompt == "prompt 7")
    assert seventh.output_samples == tuple(range(700, 710))
    assert (seventh.prompt_tokens, seventh.dataset, seventh.model) == (7, "Own", "maker--small")


def test_the_seed_decides_the_order(castillo: ModuleType, pack: Path) -> None:
    texts = [
        converted(castillo, pack, f"{index}.jsonl", "--seed", seed).read_text()
        for index, seed in enumerate(("1", "1", "2"))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_excluded_prompts_are_never_in_the_other_file(castillo: ModuleType, pack: Path) -> None:
    measured = converted(castillo, pack, "measured.jsonl", "--limit", "8", "--seed", "3")
    warm = converted(castillo, pack, "warm.jsonl", "--exclude", str(measured), "--seed", "4")
    first, second = ({record.prompt for record in read_dataset(path)} for path in (measured, warm))
    assert (len(first), len(second)) == (8, 12)
    assert not first & second


def test_parts_can_be_chosen(castillo: ModuleType, pack: Path) -> None:
    assert len(read_dataset(converted(castillo, pack, "own.jsonl", "--datasets", "Own"))) == 12
    tail = read_dataset(converted(castillo, pack, "tail.jsonl", "--skip", "15"))
    assert tail == read_dataset(converted(castillo, pack, "all.jsonl"))[15:]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "maker/none"], "no model 'maker--none' in CASTILLO; it has maker--large, maker--small"),
        (["--datasets", "Nowhere"], "no rows of"),
        (["--skip", "99"], "nothing is left"),
        (["--data", "missing"], "is missing; name the data folder"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(
    castillo: ModuleType,
    pack: Path,
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    defaults = ["--model", "maker/small", "--data", str(pack), "--out", str(pack / "out.jsonl")]
    assert castillo.main([*defaults, *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
