"""Prometheus' text format, as far as needed to join Triton's metrics to the gateway's. Pure.

The format wants each family once, its HELP and TYPE before its samples, its samples together. Joining two
texts by appending would break that where both know a family, so Triton's is taken apart into families
first; where a name is in both, the gateway's wins.

Triton's waiting gauge (`nv_trt_llm_request_metrics`, `request_type="waiting"`) counts requests inside the
engine that are not scheduled. With the queue outside the engine it reads about 0, which misleads every
autoscaler and balancer that watches it; here the gateway's queue is added to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_WAITING_FAMILY = "nv_trt_llm_request_metrics"
_WAITING_LABEL = re.compile(r'[{,]\s*request_type="waiting"\s*[,}]')
_SAMPLE = re.compile(r"(?P<series>[a-zA-Z_:][\w:]*(?:\{.*\})?)\s+(?P<value>\S+)(?P<timestamp>\s+-?\d+)?\s*")
_SUFFIXES = ("_bucket", "_count", "_sum", "_total", "_created", "_info")


@dataclass(slots=True)
class _Family:
    comments: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)


def join(own: str, triton: str, *, queued: int) -> str:
    """The gateway's text followed by Triton's.

    Args:
        own: the gateway's text; kept as it is.
        triton: Triton's text.
        queued: requests waiting in the gateway, added to Triton's waiting gauge.
    """
    own_names = set(_families(own))
    lines: list[str] = []
    for name, family in _families(triton).items():
        if name in own_names or not family.samples:
            continue
        samples = _with_queue(family.samples, queued) if name == _WAITING_FAMILY else family.samples
        lines += [*family.comments.values(), *samples]
    return own + "".join(f"{line}\n" for line in lines)


def _families(text: str) -> dict[str, _Family]:
    families: dict[str, _Family] = {}
    for line in text.splitlines():
        comment = re.match(r"# (HELP|TYPE) (\S+)", line)
        if comment:
            family = families.setdefault(comment[2], _Family())
            family.comments.setdefault(comment[1], line)
        elif line and not line.startswith("#"):
            families.setdefault(_family_of(line, families), _Family()).samples.append(line)
    return families


def _family_of(sample: str, families: dict[str, _Family]) -> str:
    name = re.split(r"[{\s]", sample, maxsplit=1)[0]
    if name in families:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in families:
            return name.removesuffix(suffix)
    return name


def _with_queue(samples: list[str], queued: int) -> Iterator[str]:
    """Add the queue to the first waiting sample; on a second one it would be counted twice."""
    is_added = False
    for sample in samples:
        parts = _SAMPLE.fullmatch(sample)
        if parts and not is_added and _WAITING_LABEL.search(parts["series"]):
            is_added = True
            yield f"{parts['series']} {_plus(parts['value'], queued)}{parts['timestamp'] or ''}"
        else:
            yield sample


def _plus(value: str, queued: int) -> str:
    total = float(value) + queued
    return str(int(total)) if total.is_integer() else repr(total)
