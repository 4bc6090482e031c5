"""What each tenant got of a study, where a trace has several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sagesched_replay.paired import FloatArray
from sagesched_replay.study import Outcome, Row


class TenantFigures(NamedTuple):
    """One tenant in one run; nan where it has no complete answer.

    Attributes:
        tenant: its name.
        completed: complete answers.
        failed: requests without one.
        mean_ttlt_s: mean time to last token.
        p99_ttlt_s: its 99th percentile.
    """

    tenant: str
    completed: int
    failed: int
    mean_ttlt_s: float
    p99_ttlt_s: float


def by_tenant(outcome: Outcome) -> list[TenantFigures]:
    """Figures of each tenant, by name; empty where there is one tenant only."""
    ttlt, tenants = outcome.requests.ttlt, np.array(outcome.requests.tenants)
    return [_figures(name, ttlt[tenants == name]) for name in sorted(set(outcome.requests.tenants))]


def _figures(name: str, ttlt: FloatArray) -> TenantFigures:
    done = ttlt[~np.isnan(ttlt)]
    mean, p99 = (float(done.mean()), float(np.quantile(done, 0.99))) if len(done) else (np.nan, np.nan)
    return TenantFigures(name, len(done), len(ttlt) - len(done), mean, p99)


def tenant_table(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Lines of a table, a tenant per line: mean and p99 under each variant, means over seeds.

    Args:
        names: of the variants, as in the main table.
        rows: one per variant.
    """
    columns = [_over_seeds(row) for row in rows]
    if not any(columns):
        return []
    width = max(14, *(len(name) or 1 for name in columns[0]))
    lines = [f"{'mean, p99 TTLT':{width}}" + "".join(f"{name:>20}" for name in names)]
    for tenant in columns[0]:
        cells = (f"{mean:11.2f} {p99:8.2f}" for mean, p99 in (column[tenant] for column in columns))
        lines.append(f"{tenant or '(none)':{width}}" + "".join(cells))
    return lines


def _over_seeds(row: Row) -> dict[str, tuple[float, float]]:
    found: dict[str, list[TenantFigures]] = {}
    for one in _all(row):
        found.setdefault(one.tenant, []).append(one)
    return {
        name: (
            float(np.mean([one.mean_ttlt_s for one in figures])),
            float(np.mean([one.p99_ttlt_s for one in figures])),
        )
        for name, figures in found.items()
    }


def _all(row: Row) -> Iterator[TenantFigures]:
    for outcome in row.outcomes:
        yield from by_tenant(outcome)
