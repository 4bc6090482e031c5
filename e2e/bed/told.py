"""A pool whose engines are told by a file how long each answer gets; clients and gateways do not see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bed.load import Request
from bed.pool import Pool
from cluster.kubectl import Cluster
from sagesched_emulator.answers import prompt_digest
from sagesched_emulator.triton_model.variables import ANSWERS_VARIABLE

_FOLDER, _FILE = "/answers", "answers.jsonl"


@contextmanager
def told_pool(
    cluster: Cluster, namespace: str, spec: Mapping[str, Any], requests: Iterable[Request]
) -> Iterator[Pool]:
    """A settled pool in a namespace of its own, both gone afterwards.

    Args:
        cluster: with the operator.
        namespace: to be made.
        spec: of the pool.
        requests: what it will be asked, in any order; a prompt of two requests gets their answers in turn.
    """
    cluster.kubectl("create", "namespace", namespace)
    pool = Pool(cluster, namespace=namespace)
    try:
        _write_answers(cluster, namespace, requests)
        pool.apply(_told(spec))
        pool.wait_settled()
        yield pool
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _write_answers(cluster: Cluster, namespace: str, requests: Iterable[Request]) -> None:
    lines = (
        json.dumps({"prompt_sha256": prompt_digest(each.prompt), "output_tokens": each.tokens})
        for each in requests
    )
    answers = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "answers", "namespace": namespace},
        "data": {_FILE: "\n".join(lines) + "\n"},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(answers))


def _told(spec: Mapping[str, Any]) -> dict[str, Any]:
    variable = {"name": ANSWERS_VARIABLE, "value": f"{_FOLDER}/{_FILE}"}
    mounts = {
        "volumes": [{"name": "answers", "configMap": {"name": "answers"}}],
        "volumeMounts": [{"name": "answers", "mountPath": _FOLDER, "readOnly": True}],
    }
    return {**spec, "runtime": {**spec["runtime"], "env": [variable]}, "podTemplate": mounts}
