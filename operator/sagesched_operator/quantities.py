"""Amounts as Kubernetes writes them: `1500m`, `2`, `1.0`, `64Gi`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_UNITS = {None: Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", 1)}
_UNITS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", 1)}


def amount_of(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None where it is none."""
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int) else None
    return Decimal(match[1]) * _UNITS[match[2]] if match else None
