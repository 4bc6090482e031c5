"""Tenant, priority and deadline of a request: `x-sagesched-...`, believed only from trusted networks.

The same names serve as HTTP headers, as gRPC metadata (for all requests of a stream) and as request
parameters (for one request, which win). Whoever sits between users and the gateway and knows them (an
ingress, an API gateway) strips what users send and sets its own; from anywhere else these words would let a
caller push in front of others.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable

from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import InferParameter, ModelInferRequest
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes
from sagesched_gateway.settings.sections.attributes import AttributesConfig

TENANT = "x-sagesched-tenant"
PRIORITY = "x-sagesched-priority"
DEADLINE = "x-sagesched-deadline"
REPORT = "x-sagesched-report"
_NEED_TRUST = frozenset({TENANT, PRIORITY, DEADLINE})
PRIVATE_PREFIX = "x-sagesched-"
"""Parameters that begin so are the gateway's and never reach Triton."""

QUEUE_TIME = "x-sagesched-queue-time"
PREDICTED_P50 = "x-sagesched-predicted-p50"
PREDICTED_P90 = "x-sagesched-predicted-p90"

PRIORITIES = range(-1000, 1001)
LONGEST_DEADLINE_S = 86_400.0
_TENANT = re.compile(r"[A-Za-z0-9._:@/-]{1,63}")
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


class AttributeReader:
    """Reads attributes where they may be believed."""

    def __init__(self, config: AttributesConfig, on_ignored: Callable[[], None] = lambda: None) -> None:
        """Prepare.

        Args:
            config: who is trusted.
            on_ignored: called for each request, or call of many, whose attributes are not believed.
        """
        self._on_ignored = on_ignored
        self._networks = [ipaddress.ip_network(network) for network in config.trusted_networks]
        self._trusted: dict[str, bool] = {}  # by host: few peers, many calls
        self.exposes_prediction = config.expose_prediction

    def trusts(self, host: str) -> bool:
        """Whether a caller from this IP address is believed; names and sockets are not."""
        known = self._trusted.get(host)
        if known is None:
            try:
                address = ipaddress.ip_address(host)
                mapped = getattr(address, "ipv4_mapped", None)
                known = any((mapped or address) in network for network in self._networks)
            except ValueError:
                known = False
            if len(self._trusted) < 1024:
                self._trusted[host] = known
        return known

    def ignore(self, names: Iterable[str]) -> None:
        """Somebody who is not trusted has sent headers or parameters of these names."""
        if any(name.lower() in _NEED_TRUST for name in names):
            self._on_ignored()

    @property
    def is_on(self) -> bool:
        """Somebody is trusted."""
        return bool(self._networks)


def read_attributes(words: Iterable[tuple[str, str]]) -> Attributes:
    """Attributes from names and values; other names are left alone, later values win.

    Raises:
        InvalidRequestError: a value is not allowed.
    """
    tenant, priority, deadline_s, wants_report = "", 0, None, False
    for name, value in words:
        word = name.lower()
        if word == TENANT:
            tenant = _tenant(value)
        elif word == PRIORITY:
            priority = _priority(value)
        elif word == DEADLINE:
            deadline_s = _deadline(value)
        elif word == REPORT:
            wants_report = _flag(value)
    if not (tenant or priority or wants_report) and deadline_s is None:
        return NO_ATTRIBUTES
    return Attributes(tenant=tenant, priority=priority, deadline_s=deadline_s, wants_report=wants_report)


def take_private(message: ModelInferRequest) -> list[tuple[str, str]]:
    """Remove the gateway's own parameters from a message and return them as words."""
    names = [name for name in message.parameters if name.startswith(PRIVATE_PREFIX)]
    words = [(name, _word(message.parameters[name])) for name in names]
    for name in names:
        del message.parameters[name]
    return words


def _word(parameter: InferParameter) -> str:
    choice = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, choice) if choice else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tenant(value: str) -> str:
    if not _TENANT.fullmatch(value):
        raise InvalidRequestError(f"{TENANT} must be 1 to 63 of letters, digits and ._:@/-")
    return value


def _priority(value: str) -> int:
    try:
        priority = int(value)
    except ValueError:
        priority = PRIORITIES.stop
    if priority not in PRIORITIES:
        raise InvalidRequestError(
            f"{PRIORITY} must be a whole number from {PRIORITIES.start} to {PRIORITIES.stop - 1}"
        )
    return priority


def _deadline(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_DEADLINE_S:
        raise InvalidRequestError(
            f"{DEADLINE} must be seconds from now, above 0 and at most {LONGEST_DEADLINE_S:g}"
        )
    return seconds


def _flag(value: str) -> bool:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise InvalidRequestError(f"{REPORT} must be true or false")
    return value.lower() in _TRUE
