"""The recipes of the images, without building them: that is for the scenarios."""

import re
import tomllib
from pathlib import Path

import pytest

from cluster import images


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of few files."""
    for name in (
        *images._SHARED,
        "images/gateway/Dockerfile",
        "images/operator/Dockerfile",
        "images/tools.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/main.py").write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["gateway/main.py", "gateway/new.py", "constraints.txt", "images/gateway/Dockerfile"]
)
def test_an_image_is_another_one_when_anything_that_goes_in_changes(checkout: Path, changed: str) -> None:
    before = images.image_key("gateway", checkout)
    assert images.image_key("gateway", checkout) == before
    (checkout / changed).write_text("changed")
    assert images.image_key("gateway", checkout) != before


def test_an_image_is_the_same_when_other_things_change(checkout: Path) -> None:
    before = images.image_key("gateway", checkout)
    (checkout / "images/operator/Dockerfile").write_text("changed")
    (checkout / "gateway/__pycache__").mkdir()
    (checkout / "gateway/__pycache__/main.pyc").write_text("compiled")
    assert images.image_key("gateway", checkout) == before


@pytest.mark.parametrize("name", images.NAMES)
def test_every_image_runs_as_a_user_without_rights_on_a_base_of_ones_choice(name: str) -> None:
    recipe = (images.ROOT / "images" / name / "Dockerfile").read_text()
    last_stage = recipe[recipe.rindex("\nFROM ") :]
    assert re.search(r"^ARG BASE=\S+$", recipe, re.MULTILINE)
    assert re.match(r"\nFROM (\$\{BASE\}|python)\n", last_stage)
    assert "FROM ${BASE}" in recipe
    assert "\nUSER 1000:1000\n" in last_stage  # by number: `runAsNonRoot` cannot check a name
    assert "org.opencontainers.image.version" in last_stage
    assert "pip install" not in last_stage


def test_what_builds_the_images_is_pinned() -> None:
    lines = (images.ROOT / "images/tools.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", ["operator", "gateway", "gateway-gpu"])
def test_every_package_of_the_project_is_copied_into_its_wheel(name: str) -> None:
    """Hatchling says nothing of a folder that is missing: its command would be there and fail."""
    project = tomllib.loads((images.ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    folders = {package.partition("/")[0] for package in packages}
    recipe = (images.ROOT / "images" / name / "Dockerfile").read_text()
    copied = {folder for folder in folders if f"\nCOPY {folder} {folder}\n" in recipe}
    admitted = (images.ROOT / ".dockerignore").read_text().splitlines()
    assert copied == folders == set(images._SOURCES)
    assert all(f"!{folder}" in admitted for folder in folders)
