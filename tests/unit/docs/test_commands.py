"""Every command in the documentation is run by a test, or there is a reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bed.documented import ROOT, sections

READER = "e2e/scenarios/test_documented_commands.py"
REPLAYED = "tests/unit/docs/test_data_commands.py"
RUN_BY = {
    ("README.md", "## In front of your own Triton"): READER,
    ("README.md", "## On Kubernetes"): READER,
    ("docs/guides/kubernetes.md", "## Without a GPU"): "e2e/scenarios/test_helm_install_then_first_tokens.py",
    ("docs/guides/kubernetes.md", "## 1. The operator"): READER,
    ("docs/guides/kubernetes.md", "## 2. A pool"): READER,
    ("docs/guides/kubernetes.md", "## 4. See what it does"): READER,
    ("docs/guides/install.md", "## One team, few rights"): "e2e/scenarios/test_namespaced_rbac.py",
    ("docs/guides/install.md", "## Upgrade"): "e2e/scenarios/test_upgrade_from_previous_release.py",
    ("docs/guides/install.md", "## Roll a pool back"): READER,
    ("docs/guides/install.md", "## Uninstall"): READER,
    ("docs/guides/models.md", "## Is it the right one?"): (
        "tests/unit/sagesched_gateway/pod/test_folder_digest.py"
    ),
}
"""(Page, heading) → the test in which the heading stands."""
RUN_WHOLE = {
    "docs/runbooks": READER,
    "docs/guides/replay.md": REPLAYED,
    "docs/guides/prediction.md": REPLAYED,
    "docs/reference/recording.md": REPLAYED,
}
"""Page or folder → the test that runs all of its commands."""
NOT_RUN = {
    ("README.md", "# SageSched for Kubernetes"): "make; the scenarios and tests themselves",
    ("README.md", "## Real prompts"): "make; tests of the emulator run the demo on a file",
    ("CONTRIBUTING.md", "# How a change is made"): "make; the scenarios and tests themselves",
    ("docs/guides/real-cluster.md", "# A real cluster on one machine"): "make; the scenarios themselves",
    ("docs/guides/real-cluster.md", "## Scenarios"): "make; the scenarios themselves",
    ("docs/guides/real-cluster.md", "## On a cluster of your own"): "there is none but the bed's own",
    ("docs/guides/images.md", "## Build and push"): "no docker, no registry; buildah builds the same files",
    ("docs/guides/images.md", "## What is in an image"): "no docker",
    ("docs/guides/kubernetes.md", "## The images"): "no docker, no kind",
    ("docs/guides/models.md", "## From a private store, with a Secret"): "kubectl with keys of one's own",
    ("docs/guides/kubernetes.md", "## 3. Clients"): "an image of others; the bed's clients ask the same",
}
"""(Page, heading) → why."""


def documented() -> set[tuple[str, str]]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    names = [str(page.relative_to(ROOT)) for page in pages]
    return {(name, heading) for name in names for heading in sections(name)}


def test_every_command_is_run_or_there_is_a_reason() -> None:
    whole = {each for each in documented() if each[0].startswith(tuple(RUN_WHOLE))}
    assert documented() - whole == RUN_BY.keys() | NOT_RUN.keys()
    assert not RUN_BY.keys() & NOT_RUN.keys()


@pytest.mark.parametrize(("place", "test"), RUN_BY.items())
def test_the_test_names_the_heading(place: tuple[str, str], test: str) -> None:
    page, heading = place
    source = (ROOT / test).read_text()
    assert f'"{page}"' in source
    assert f'"{heading}"' in source


@pytest.mark.parametrize(("place", "test"), RUN_WHOLE.items())
def test_the_test_names_the_page(place: str, test: str) -> None:
    source = (ROOT / test).read_text()
    assert Path(place).name in source
    assert "sections(" in source
