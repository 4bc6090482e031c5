"""What each field of a pool does to its objects, as files that people read (`make golden` writes them).

`smallest.yaml` is everything that the smallest pool gets; each other file is the difference that one field
makes to that.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pool_cases import FIELDS, SMALLEST, WITHOUT_EFFECT_ON_OBJECTS, a_pool, spec_of

from sagesched_operator.api.fields import key_of
from sagesched_operator.api.pool import PoolSpec, parse_pool
from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import CLAIM_TEMPLATE, OPTIONAL_KINDS, Capabilities, Installation
from sagesched_operator.yaml_text import to_yaml

GOLDEN = Path(__file__).parent / "golden"
WRITES = "GOLDEN_WRITE" in os.environ
INSTALLATION = Installation(allows_host_path=True)


def rendered(spec, *, without=()):
    capabilities = Capabilities(frozenset(OPTIONAL_KINDS) - set(without))
    desired = build(parse_pool(a_pool(spec)), INSTALLATION, capabilities)
    return to_yaml(desired.objects)


def compare(file, text):
    if WRITES:
        file.write_text(text)
    assert file.read_text() == text, f"{file.name} is not what is built now; look, then run `make golden`"


def test_the_smallest_pool():
    compare(GOLDEN / "smallest.yaml", rendered(SMALLEST))


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_does_what_its_file_says(name):
    without = [CLAIM_TEMPLATE] if name.endswith("-visible") else []
    before, after = rendered(SMALLEST).splitlines(), rendered(spec_of(name), without=without).splitlines()
    hashes = ("serving.sagesched.io/applied-hash", "serving.sagesched.io/settings-digest")
    lines = [
        line
        for line in difflib.unified_diff(before, after, "smallest", name, n=2, lineterm="")
        if not any(word in line for word in hashes)
    ]
    assert len(lines) > 3, "the field does nothing"
    compare(GOLDEN / f"{name}.diff", "\n".join(lines) + "\n")


def test_no_file_is_left_over():
    wanted = {f"{name}.diff" for name in FIELDS} | {"smallest.yaml"}
    assert {file.name for file in GOLDEN.iterdir()} == wanted


def test_every_field_has_a_case():
    cased = set()
    for name in FIELDS:
        cased |= set(_paths_in(spec_of(name), "spec"))
    known = set(_paths(PoolSpec, "spec"))
    assert known - cased == set(WITHOUT_EFFECT_ON_OBJECTS)


def test_equal_pools_are_equal_text():
    spec = spec_of("scaling-keda")
    turned = dict(reversed(spec.items()))
    assert rendered(spec) == rendered(turned)


def _paths(section, path):
    hints = get_type_hints(section)
    for item in fields(section):
        here = f"{path}.{key_of(item)}"
        hint = next(
            (part for part in (*get_args(hints[item.name]), hints[item.name]) if is_dataclass(part)), None
        )
        if hint is not None:
            yield from _paths(hint, here)
        else:
            yield here


def _paths_in(spec, path):
    for key, value in spec.items():
        yield f"{path}.{key}"
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield from _paths_in(entry, f"{path}.{key}")
