"""The table of scenarios that a run ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bed.results import Result


def table(results: Mapping[tuple[str, str], Result | None]) -> Iterator[str]:
    """Lines: each scenario with what it measured and proved, then totals.

    Args:
        results: (level, scenario) → its latest result; None where it has not run.
    """
    yield f"{'scenario':<36}{'level':>5}  {'result':<8}{'seconds':>7}  {'ended (UTC)'}"
    for (level, scenario), result in results.items():
        if result is None:
            yield f"{scenario:<36}{level:>5}  {'not run':<8}"
            continue
        took = f"{result.outcome:<8}{result.duration_s:>7.1f}"
        yield f"{scenario:<36}{level:>5}  {took}  {result.at}"
        yield from (f"    {line}" for line in result.lines)
    yield from _totals([each for each in results.values() if each], len(results))


def _totals(ran: list[Result], total: int) -> Iterator[str]:
    passed = sum(each.passed for each in ran)
    yield f"{passed} of {total} scenarios passed, {sum(each.duration_s for each in ran):.0f} s"
    serving = [each for each in ran if each.complete + each.errors]
    complete, errors = sum(each.complete for each in ran), sum(each.errors for each in ran)
    yield (
        f"{complete + errors} requests in {len(serving)} scenarios: {complete} with all of their own tokens, "
        f"{errors} with an error that has a name, {sum(each.wrong for each in ran)} lost, doubled or wrong"
    )
