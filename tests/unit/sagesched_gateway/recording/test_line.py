from __future__ import annotations

import json

from sagesched_gateway.recording.line import LineWriter
from sagesched_gateway.request import NO_ATTRIBUTES


def fields_of(record, prompts="Drop", writer=None):
    line = (writer or LineWriter(prompts)).line(record)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


def test_a_line_has_the_format_and_our_own_fields(a_record):
    assert fields_of(a_record()) == {
        "id": "mine",
        "model": "ensemble",
        "prompt_tokens": 9,
        "max_tokens": 64,
        "output_tokens": 12,
        "arrival_s": 1_790_000_000.25,
        "outcome": "completed",
        "censored": False,
        "tenant": "acme",
        "priority": 3,
        "queue_s": 0.5,
        "ttft_s": 0.75,
        "ttlt_s": 2.0,
        "policy": "gittins-boost",
    }


def test_what_is_not_known_is_left_out(a_record):
    record = a_record(
        id="", attributes=NO_ATTRIBUTES, prompt_tokens=0, queue_s=None, ttft_s=None, output_tokens=0
    )
    fields = fields_of(record)
    assert fields.keys().isdisjoint({"id", "tenant", "deadline_s", "prompt_tokens", "queue_s", "ttft_s"})
    assert fields["output_tokens"] == 0


def test_prompts_are_dropped_kept_or_hashed(a_record):
    record = a_record()
    assert record.prompt not in json.dumps(fields_of(record), ensure_ascii=False)
    assert fields_of(record, "Keep")["prompt"] == record.prompt
    hashed = fields_of(record, "Hash")
    assert len(hashed["prompt_hash"]) == 32
    assert "prompt" not in hashed
    assert "prompt_hash" not in fields_of(a_record(prompt=""), "Hash")


def test_equal_prompts_of_one_run_have_equal_hashes_and_nobody_can_make_them(a_record):
    writer = LineWriter("Hash")
    one, other = (fields_of(a_record(id=name), writer=writer)["prompt_hash"] for name in ("a", "b"))
    assert one == other
    assert fields_of(a_record(prompt="else"), writer=writer)["prompt_hash"] != one
    assert fields_of(a_record(), "Hash")["prompt_hash"] != one


def test_an_answer_that_might_have_gone_on_is_marked(a_record):
    assert fields_of(a_record(output_tokens=64))["censored"] is True
    assert fields_of(a_record(outcome="cancelled"))["censored"] is True
    assert fields_of(a_record(outcome="deadline-exceeded", output_tokens=0))["censored"] is True


def test_a_prompt_that_is_no_unicode_is_kept_as_far_as_possible(a_record):
    assert fields_of(a_record(prompt="a\ud800b\nc"), "Keep")["prompt"] == "a?b\nc"
    assert fields_of(a_record(prompt="a\ud800b"), "Hash")["prompt_hash"]
