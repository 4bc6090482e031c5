"""Each kind of trace file: what is read out of it, and which line is named when it is wrong."""

import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from sagesched_emulator.dataset import DatasetError
from sagesched_replay.formats.source import TraceSource, kind_of, read_source

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05.0319600,110,0
"""
RATES = """client,t_s,rate,cv,dist,param1,param2
1,0,2.0,1.0,Gamma,1.0,0.5
1,600,0,,,,
1,1200,2.0,1.0,Weibull,1.0,0.5
2,0,1.0,1.0,Gamma,1.0,1.0
"""
HISTS = [
    {"client": 1, "windows": {"0": {"input_tokens": "{10: 0.5, 20: 0.5}", "output_tokens": "{7: 1.0}"}}},
    {"client": 2, "windows": {"0": {"input_tokens": "{}", "output_tokens": "{}"}}},
]


def read(path: Path, num_requests: int = 100, from_s: float = 0.0) -> TraceSource:
    return read_source(path, needs_prompts=False, num_requests=num_requests, seed=0, from_s=from_s)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def servegen(folder: Path) -> Path:
    written(folder / "small_client_rates.csv", RATES)
    written(folder / "small_length_hists.jsonl", "\n".join(json.dumps(line) for line in HISTS))
    return folder


def test_azure(tmp_path: Path) -> None:
    source = read(written(tmp_path / "code.csv", AZURE))
    assert source.kind == "azure"
    assert [(one.prompt_tokens, one.output_tokens) for one in source.records] == [(4808, 10), (3180, 8)]
    first, second = (one.arrival_s or 0.0 for one in source.records)
    assert second - first == pytest.approx(0.052)


def test_length_pairs_have_no_arrivals(tmp_path: Path) -> None:
    text = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n74,918,992,0.08\n5,0,5,1\n"
    source = read(written(tmp_path / "pairs.csv", text))
    assert [(r.prompt_tokens, r.output_tokens, r.arrival_s) for r in source.records] == [(74, 918, None)]


def test_length_pairs_may_have_prompts_of_any_length_beside_them(tmp_path: Path) -> None:
    text = f'text,prompt_tokens,output_tokens\n"{"many, many words " * 20_000}",80000,7\n'
    (record,) = read(written(tmp_path / "pairs.csv", text)).records
    assert (record.prompt_tokens, record.output_tokens) == (80000, 7)


def test_mooncake_spreads_the_requests_of_one_tick(tmp_path: Path) -> None:
    lines = [
        {"timestamp": at, "input_length": 5, "output_length": 3, "hash_ids": [1]}
        for at in (0, 0, 0, 3000, 3000, 6000)
    ]
    source = read(written(tmp_path / "trace.jsonl", "\n".join(json.dumps(line) for line in lines)))
    assert source.kind == "mooncake"
    assert [record.arrival_s for record in source.records] == [0.0, 1.0, 2.0, 3.0, 4.5, 6.0]


def test_servegen_draws_clients_with_lengths_of_their_own(tmp_path: Path) -> None:
    source = read(servegen(tmp_path), num_requests=900)
    arrivals = np.array([record.arrival_s for record in source.records])
    assert source.kind == "servegen"
    assert len(source.records) == 900
    assert (np.diff(arrivals) >= 0).all()
    assert {record.dataset for record in source.records} == {"client 1"}  # the other has no lengths
    assert {(record.prompt_tokens, record.output_tokens) for record in source.records} == {(10, 7), (20, 7)}
    assert arrivals[arrivals < 600].size == pytest.approx(1200, rel=0.15) or arrivals[-1] < 600
    late = read(servegen(tmp_path), from_s=1200.0)
    assert all(1200 <= (record.arrival_s or 0) < 1800 for record in late.records)


def test_servegen_depends_on_the_seed_alone(tmp_path: Path) -> None:
    folder = servegen(tmp_path)
    one, again = (read(folder) for _ in range(2))
    other = read_source(folder, needs_prompts=False, num_requests=100, seed=1)
    assert one.records == again.records
    assert one.records != other.records
    assert one.digest == other.digest


def test_packed_files_are_the_same_trace(tmp_path: Path) -> None:
    plain = read(written(tmp_path / "code.csv", AZURE))
    packed = tmp_path / "code.csv.xz"
    packed.write_bytes(lzma.compress(AZURE.encode()))
    assert read(packed).records == plain.records


def test_the_cap_is_the_same_for_all_and_above_the_longest(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.csv", "prompt_tokens,output_tokens\n5,3\n5,5000\n")
    assert {record.max_tokens for record in read(path).records} == {8192}
    told = read_source(path, needs_prompts=False, num_requests=1, seed=0, max_tokens=100)
    assert {record.max_tokens for record in told.records} == {100}


def test_a_later_beginning_leaves_out_what_came_before(tmp_path: Path) -> None:
    path = written(tmp_path / "code.csv", AZURE)
    assert [record.prompt_tokens for record in read(path, from_s=0.01).records] == [3180]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", AZURE + "yesterday,1,2\n", "a.csv:5: 'TIMESTAMP' must be like"),
        ("a.csv", AZURE + "2023-11-16 18:17:03,1\n", "a.csv:5: three fields are needed, got 2"),
        ("a.csv", AZURE + "2023-11-16 18:17:03,x,2\n", "a.csv:5: 'ContextTokens' must be a whole number"),
        ("l.csv", "prompt_tokens,output_tokens\n3,-1\n", "l.csv:2: 'output_tokens' must be a whole number"),
        ("l.csv", "prompt_tokens,output_tokens\n1\r2,3\n", "l.csv:2: new-line character seen"),
        ("l.csv", "prompt_tokens,output_tokens\n3\n", "l.csv:2: 'output_tokens' must be a whole number"),
        ("l.csv", "prompt_tokens,output_tokens\n3,inf\n", "l.csv:2: 'output_tokens' must be a whole number"),
        ("l.csv", "prompt_tokens,output_tokens\nnan,3\n", "l.csv:2: 'prompt_tokens' must be a whole number"),
        ("l.csv", "prompt_tokens,output_tokens\n3,0\n", "l.csv: no requests"),
        (
            "m.jsonl",
            '{"timestamp":0,"input_length":1,"output_length":1}\n{"timestamp":1}',
            "m.jsonl:2: needs",
        ),
        ("m.jsonl", '{"timestamp":0,"input_length":1,"output_length":1}\nnope', "m.jsonl:2: not JSON"),
        ("d.jsonl", '{"prompt_tokens": 3}', "d.jsonl:1: needs 'output_tokens'"),
        ("u.csv", "a,b\n1,2\n", "u.csv:1: not a trace that replay knows"),
        ("e.csv", "", "e.csv: no records; the file is empty"),
    ],
)
def test_what_is_wrong_names_file_and_line(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    with pytest.raises(DatasetError) as raised:
        read(written(tmp_path / name, text))
    assert complaint in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("1,1800,1,1,Pareto,1,1", "'dist' must be Gamma"), ("1,inf,1,1,Gamma,1,1", "'t_s' must be a number")],
)
def test_a_wrong_servegen_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    folder = servegen(tmp_path)
    written(folder / "small_client_rates.csv", f"{RATES}{line}\n")
    with pytest.raises(DatasetError, match=rf"small_client_rates\.csv:6: {complaint}"):
        read(folder)


def test_a_wrong_servegen_histogram_is_named(tmp_path: Path) -> None:
    folder = servegen(tmp_path)
    endless = {"0": {"input_tokens": "{1e999: 1.0}", "output_tokens": "{7: 1.0}"}}
    written(folder / "small_length_hists.jsonl", json.dumps({"client": 1, "windows": endless}))
    with pytest.raises(DatasetError, match=r"small_length_hists\.jsonl:1: not a client's histograms"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.csv.xz", b"not xz at all"), ("x.csv.gz", gzip.compress(AZURE.encode())[:10] + b"\xff" * 40)],
)
def test_a_broken_archive_is_said_to_be_one(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read"):
        kind_of(path)


def test_a_predictor_is_refused_where_there_are_no_prompts(tmp_path: Path) -> None:
    path = written(tmp_path / "code.csv", AZURE)
    with pytest.raises(DatasetError, match="lengths and no prompts"):
        read_source(path, needs_prompts=True, num_requests=1, seed=0)
