"""What the API server refuses, with the message a user reads."""

from __future__ import annotations

import json

import pytest
from operator_process import Space
from pool_cases import FIELDS, SMALLEST, a_pool, merged, spec_of
from rejected import REJECTED


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


@pytest.mark.parametrize("name", ["Llama", "1llama", "a" * 51, "llama.cpp"])
def test_a_name_is_refused_in_words(installed, name):
    done = dry_run(installed, a_pool(SMALLEST, name=name, namespace="default"))
    assert done.returncode
    assert "metadata.name" in done.stderr or "Invalid value" in done.stderr


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_golden_files_show_is_accepted(installed, name):
    done = dry_run(installed, a_pool(spec_of(name), namespace="default"))
    assert not done.returncode, done.stderr


def test_the_served_name_stays(space: Space):
    space.apply(SMALLEST)
    other = merged(SMALLEST, {"model": {"name": "another"}})
    arguments = ("replace", "--dry-run=server", "-f", "-")
    done = space.plane.run("kubectl", *arguments, stdin=json.dumps(a_pool(other, namespace=space.name)))
    assert "cannot be changed: make another pool for another model" in done.stderr


def test_every_rule_has_a_pool_that_breaks_it(installed):
    """Each message of the CRD is read by somebody in this file."""
    read = " ".join(words for _, words in REJECTED.values())
    read += (
        " metadata.name must be cannot be changed: make another pool for another model must not contain '..'"
    )
    crd = installed.get("crd", "llmservingpools.serving.sagesched.io")
    missing = [message for message in _messages(crd) if not _is_read(message, read)]
    assert not missing


def _messages(schema):
    if isinstance(schema, dict):
        for rule in schema.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for value in schema.values():
            yield from _messages(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _messages(value)


def _is_read(message, read):
    start = message[:20]
    return start in read or any(part in read for part in (message, message.split(":")[0]))
