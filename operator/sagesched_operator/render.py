"""`sagesched-operator render`: every object that would be applied for pools in files, offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sagesched_gateway.settings.section import ConfigError
from sagesched_operator.admission.refusals import refusals
from sagesched_operator.api.pool import KIND, parse_pool
from sagesched_operator.api.reading import SpecError
from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import Capabilities, Installation
from sagesched_operator.yaml_text import to_yaml


class RenderError(ValueError):
    """A file cannot be rendered; the message names it."""


def render(file: Path, text: str, installation: Installation, capabilities: Capabilities) -> str:
    """YAML of all objects of all pools in the text.

    Args:
        file: where the text came from, for complaints.
        text: YAML documents; those of other kinds are left out.
        installation: the operator's.
        capabilities: kinds taken for installed.

    Raises:
        RenderError: no pool is there, or one cannot be built; with everything that the API server would
            refuse, in its words.
    """
    documents = [*_pools(file, text)]
    if not documents:
        raise RenderError(f"{file}: holds no {KIND}")
    objects: list[Any] = []
    for body in documents:
        refused = refusals(body)
        if refused:
            raise RenderError(f"{file}: {'; '.join(refused)}")
        try:
            desired = build(parse_pool(body), installation, capabilities)
        except (SpecError, ConfigError) as error:
            raise RenderError(f"{file}: {error}") from error
        if desired.forbidden:
            raise RenderError(f"{file}: {desired.forbidden}")
        objects += desired.objects
    return to_yaml(objects)


def _pools(file: Path, text: str) -> Iterator[dict[str, Any]]:
    try:
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and document.get("kind") == KIND:
                yield document
    except yaml.YAMLError as error:
        raise RenderError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
