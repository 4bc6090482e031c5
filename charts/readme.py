"""The chart's README: what `helm show readme` prints, its values from the comments in values.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CHART = Path(__file__).parent / "sagesched"

_KEY = re.compile(r"^( *)([A-Za-z]+):(?: (.*))?$")
_HEAD = """\
# SageSched

Operator for `LLMServingPool`: Triton pods that serve an LLM, each behind a gateway that orders waiting
requests by how long their answers will be.

```
helm install sagesched charts/sagesched -n sagesched-system --create-namespace
helm test sagesched -n sagesched-system
kubectl apply -f pool.yaml
```

Quickstart, upgrades, sizing and removal: docs/guides/kubernetes.md and docs/guides/install.md. This page
follows from values.yaml (`make manifests`).

## Values

| value | default | meaning |
|---|---|---|
"""


def readme() -> str:
    """The text."""
    rows = _rows((CHART / "values.yaml").read_text())
    return _HEAD + "".join(f"| `{path}` | {default} | {meaning} |\n" for path, default, meaning in rows)


def _rows(text: str) -> Iterator[tuple[str, str, str]]:
    """(path, default, meaning) of each value; of a group, only where it has a comment of its own."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        found = _KEY.match(line)
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip().removeprefix("-- "))
        elif found is None:
            comment = []
        else:
            indent, name, value = found.groups()
            path = [*path[: len(indent) // 2], name]
            meaning = " ".join(comment)
            comment = []
            if value is not None:
                yield ".".join(path), f"`{value}`", meaning
            elif meaning:
                yield ".".join(path), "", meaning
