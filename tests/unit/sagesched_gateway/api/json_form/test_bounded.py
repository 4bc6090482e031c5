from __future__ import annotations

import json

import pytest

from sagesched_gateway.api.json_form.bounded import parse_json
from sagesched_gateway.errors import InvalidRequestError, TooLargeError
from sagesched_gateway.kserve import MOST_VALUES


@pytest.mark.parametrize("text", ["1", "[]", "{}", "[[[]]]", '{"a":{"b":[1,"[[[[["]}}', "[1,[2,[3]],[],{}]"])
def test_what_is_flat_enough_is_read(text):
    assert parse_json(text.encode(), 3) == json.loads(text)


def test_a_byte_order_mark_is_passed_over_as_by_triton():
    assert parse_json('{"a":1}'.encode("utf-8-sig"), 3) == {"a": 1}


@pytest.mark.parametrize("text", ["[[[[]]]]", '{"a":{"b":{"c":{}}}}', "[1,[2,[3,[4]]]]", "[" * 200_000])
def test_what_is_nested_deeper_is_refused(text):
    with pytest.raises(InvalidRequestError):
        parse_json(text.encode(), 3)


def test_a_body_of_the_greatest_depth_python_takes_is_refused_in_words():
    with pytest.raises(InvalidRequestError, match="nested deeper than 64 levels"):
        parse_json(b"[" * 900 + b"]" * 900, 64)


def test_a_key_that_comes_twice_is_found_quickly_among_many():
    keys = ",".join(f'"{number}":1' for number in range(200_000))
    with pytest.raises(InvalidRequestError, match="'199999' already exists"):
        parse_json(f'{{{keys},"199999":2}}'.encode(), 64)


@pytest.mark.parametrize("value", [b'""', b"[]", b"{}", b"0"])
def test_more_values_than_can_be_looked_at_are_refused_before_they_are_read(value):
    with pytest.raises(TooLargeError, match="more than 1048576 values; send large tensors as binary data"):
        parse_json(b"[" + (value + b",") * MOST_VALUES + b"no JSON at its end", 64)


def test_as_many_as_can_be_looked_at_are_read():
    assert len(parse_json(b"[" + b"0," * (MOST_VALUES - 1) + b"0]", 64)) == MOST_VALUES
