"""What the API server refuses, with the message a user reads."""

from __future__ import annotations

import json

import pytest
from operator_process import Space
from pool_cases import FIELDS, SMALLEST, a_pool, merged, spec_of
from rejected import REJECTED

from sagesched_operator.api.crd import MOST_NAME, definition


def dry_run(plane, body):
    return plane.run(
        "kubectl", "create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(body)
    )


def test_there_are_enough():
    assert len(REJECTED) >= 40


@pytest.mark.parametrize("name", REJECTED)
def test_a_pool_is_refused_in_words(installed, name):
    change, words = REJECTED[name]
    done = dry_run(installed, a_pool(merged(SMALLEST, change), namespace="default"))
    assert done.returncode, "it was accepted"
    assert words in done.stderr, done.stderr


BAD_NAME = (
    "metadata.name must be lower case letters, digits and '-', start with a letter and have at most "
    f"{MOST_NAME} characters: names of the pool's objects are made from it"
)


@pytest.mark.parametrize("name", ["1llama", "a" * (MOST_NAME + 1), "llama.cpp"])
def test_a_name_is_refused_in_words(installed, name):
    done = dry_run(installed, a_pool(SMALLEST, name=name, namespace="default"))
    assert done.returncode
    assert BAD_NAME in done.stderr, done.stderr


def test_the_longest_name_is_taken(installed):
    assert not dry_run(installed, a_pool(SMALLEST, name="a" * MOST_NAME, namespace="default")).returncode


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_golden_files_show_is_accepted(installed, name):
    done = dry_run(installed, a_pool(spec_of(name), namespace="default"))
    assert not done.returncode, done.stderr


NEVER_AGAIN = "cannot be changed: make another pool for another model"


def test_the_served_name_stays(space: Space):
    space.apply(SMALLEST)
    other = merged(SMALLEST, {"model": {"name": "another"}})
    arguments = ("replace", "--dry-run=server", "-f", "-")
    done = space.plane.run("kubectl", *arguments, stdin=json.dumps(a_pool(other, namespace=space.name)))
    assert NEVER_AGAIN in done.stderr


def test_every_rule_has_a_pool_that_breaks_it():
    """Each rule's whole message is read by somebody in this file."""
    read = [NEVER_AGAIN, BAD_NAME, *(words for _, words in REJECTED.values())]
    rules = set(_rules(definition()))
    missing = [message for _, message in rules if not any(words.endswith(message) for words in read)]
    assert not missing
    assert len({message for _, message in rules}) == len(rules), "two rules, one message: which was broken?"


def _rules(schema):
    if isinstance(schema, dict):
        for rule in schema.get("x-kubernetes-validations", ()):
            yield rule["rule"], rule["message"]
        for value in schema.values():
            yield from _rules(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _rules(value)
