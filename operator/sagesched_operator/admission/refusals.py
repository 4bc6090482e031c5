"""`refusals`: why the API server would not take a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagesched_operator.admission.defaults import filled_in
from sagesched_operator.admission.rules import broken_rules
from sagesched_operator.admission.structural import complaints
from sagesched_operator.api.crd import definition


def refusals(body: Mapping[str, Any]) -> list[str]:
    """What is wrong with a resource that a user wrote, each with its path; empty where it would be taken.

    Args:
        body: an `LLMServingPool` of our version.
    """
    if not (body.get("metadata") or {}).get("name"):
        return ["metadata.name: Required value"]
    schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    whole = filled_in(body, schema)
    found = list(complaints(whole, schema, ""))
    texts = [complaint.text for complaint in found]
    if any(complaint.blocks for complaint in found):
        return texts
    return [*texts, *broken_rules(whole, schema, "")]
