"""The table of a study: names by what differs, and a word where a difference is within noise."""

import math
from dataclasses import fields

import numpy as np

from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.fleet import Balancer
from sagesched_replay.paired import Ratio
from sagesched_replay.report import RunFigures
from sagesched_replay.sheet import labels, ratio_text, table
from sagesched_replay.study import Outcome, Requests, Row, Variant

AT = np.arange(3.0)
UNKNOWN = Ratio(0.8, math.nan, math.nan)


def a_variant(name: str, weight: float = 1.0, replicas: int = 1, balancer: str = "round-robin") -> Variant:
    policy = PolicySettings(name=name, tail_weight=weight)
    return Variant(policy=policy, replicas=replicas, balancer=Balancer(balancer))


def a_row(name: str, mean: Ratio, p99: Ratio, *, is_base: bool = False, seeds: int = 1) -> Row:
    variant = a_variant(name)
    numbers = {field.name: 1.5 for field in fields(RunFigures)} | {"policy": name, "failed": 0}
    figures = RunFigures(**numbers)  # type: ignore[arg-type]
    outcomes = [Outcome(variant, seed, figures, Requests(AT, AT, AT, AT, AT)) for seed in range(seeds)]
    return Row(variant, outcomes, mean, p99, is_base)


def base(seeds: int = 1) -> Row:
    return a_row("fcfs", Ratio(1.0, 1.0, 1.0), Ratio(1.0, 1.0, 1.0), is_base=True, seeds=seeds)


def test_a_difference_within_noise_is_marked_and_explained() -> None:
    text = table([base(), a_row("ssjf", Ratio(0.5, 0.4, 0.6), Ratio(1.1, 0.9, 1.3))])
    line = next(line for line in text.splitlines() if line.startswith("ssjf"))
    assert "0.500 [0.40 0.60] " in line
    assert line.endswith("1.100 [0.90 1.30] ~")
    assert "~ within noise: no difference shown" in text
    assert "within this one trace" in text


def test_a_clear_difference_is_not() -> None:
    text = table([base(5), a_row("ssjf", Ratio(0.5, 0.4, 0.6), Ratio(1.1, 1.05, 1.3), seeds=5)])
    assert "~" not in text
    assert "95 % interval over 5 seeds" in text


def test_without_intervals_it_says_what_they_need() -> None:
    assert "200 requests or more" in table([base(), a_row("ssjf", UNKNOWN, UNKNOWN)])
    assert "3 seeds or more" in table([base(2), a_row("ssjf", UNKNOWN, UNKNOWN, seeds=2)])
    assert ratio_text(UNKNOWN, is_base=False) == "0.800"
    assert "interval" not in table([base()])


def test_names_hold_what_differs_and_nothing_else() -> None:
    assert labels([a_variant("fcfs"), a_variant("gittins-boost")]) == ["fcfs", "gittins-boost"]
    weights = [a_variant("fcfs"), a_variant("gittins-boost", 0.5), a_variant("gittins-boost", 2.0)]
    assert labels(weights) == ["fcfs", "gittins-boost c=0.5", "gittins-boost c=2"]
    assert labels([a_variant("fcfs", replicas=2), a_variant("fcfs", replicas=4)]) == ["fcfs x2", "fcfs x4"]
    by_balancer = [a_variant("fcfs", replicas=2), a_variant("fcfs", replicas=2, balancer="global")]
    assert labels(by_balancer) == ["fcfs x2 round-robin", "fcfs x2 global"]


def test_it_says_why_requests_failed() -> None:
    failed = a_row("ssjf", UNKNOWN, UNKNOWN)
    outcome = failed.outcomes[0]
    told = Outcome(outcome.variant, 0, outcome.figures, outcome.requests, failure="the prompt is too long")
    text = table([base(), Row(failed.variant, [told], UNKNOWN, UNKNOWN, is_base=False)])
    assert "failed requests count in no latency; the first of ssjf: the prompt is too long" in text
