"""Answers of non-decoupled models keep the order of their requests on a stream."""

from __future__ import annotations

from sagesched_gateway.api.grpc_face.response_order import ResponseOrder


def an_order():
    sent: list[bytes] = []
    return ResponseOrder(sent.append), sent


def test_decoupled_answers_interleave():
    order, sent = an_order()
    for request, message in (("a", b"1"), ("b", b"2"), ("a", b"3"), (None, b"4")):
        order.put(request, message)
    assert sent == [b"1", b"2", b"3", b"4"]


def test_what_comes_too_early_waits_for_its_turn():
    order, sent = an_order()
    for request in "abc":
        order.begin(request)
    order.put("c", b"c")
    order.end("c")
    order.put("b", b"b")
    order.end("b")
    assert sent == []
    order.put("a", b"a")
    order.end("a")
    assert sent == [b"a", b"b", b"c"]


def test_the_first_in_turn_is_never_held_back():
    order, sent = an_order()
    order.begin("a")
    order.put("a", b"1")
    assert sent == [b"1"]
    order.begin("b")
    order.put("b", b"2")
    order.end("a")
    order.put("b", b"3")
    assert sent == [b"1", b"2", b"3"]


def test_an_end_without_a_turn_changes_nothing():
    order, sent = an_order()
    order.end("nobody")
    assert sent == []
