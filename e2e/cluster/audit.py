"""What the API server was asked, from its audit log: to count requests, and to prove that RBAC is small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""

WRITES = frozenset(("create", "update", "patch", "delete", "deletecollection"))


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request.

    Attributes:
        user: who asked.
        verb: as RBAC calls it: get, list, watch, create, update, patch, delete, deletecollection.
        group: API group, "" for the core.
        resource: plural, with "/subresource" where there is one; "" where the path is no resource.
        namespace: "" for what belongs to no namespace.
        name: "" for lists.
        code: HTTP status.
        at: RFC 3339 time of arrival.
    """

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    at: str

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.verb in WRITES


def read_requests(log: Path) -> Iterator[Request]:
    """All requests in the log so far, oldest first; a watch is there from its beginning."""
    if not log.exists():
        return
    seen: set[str] = set()
    whole, _, _ = log.read_text().rpartition("\n")  # the last line may still be being written
    for line in whole.splitlines():
        event = json.loads(line)
        if event["auditID"] in seen:  # the end of a watch whose beginning was read
            continue
        seen.add(event["auditID"])
        what = event.get("objectRef") or {}
        resource, sub = what.get("resource", ""), what.get("subresource", "")
        yield Request(
            user=event["user"]["username"],
            verb=event["verb"],
            group=what.get("apiGroup", ""),
            resource=f"{resource}/{sub}" if sub else resource,
            namespace=what.get("namespace", ""),
            name=what.get("name", ""),
            code=(event.get("responseStatus") or {}).get("code", 0),
            at=event["requestReceivedTimestamp"],
        )
