"""The digest of a folder is what a line of shell gives, and what a pool says is held against it."""

import subprocess
from pathlib import Path

import pytest

from sagesched_gateway import cli
from sagesched_gateway.pod import folder_digest as module
from sagesched_gateway.pod.folder_digest import folder_digest


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    for path, text in {
        "ensemble/config.pbtxt": "a",
        "ensemble/1/weights ü.bin": "b" * 100_000,
        "Z.txt": "c",
        "a-b/x": "d",
        "a/x": "e",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


ROOT = Path(__file__).parents[4]
PAGE, HEADING = "docs/guides/models.md", "## Is it the right one?"


def shell_lines(text):
    start = text.index("cd FOLDER")
    return text[start : text.index("| sha256sum", start) + len("| sha256sum")]


def in_a_shell(folder):
    """As the guide tells users to."""
    text = (ROOT / PAGE).read_text().partition(HEADING)[2]
    command = shell_lines(text).replace("FOLDER", str(folder))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return f"sha256:{done.stdout.split()[0]}"


def test_it_is_what_the_shell_says(model):
    assert folder_digest(model) == in_a_shell(model)
    assert "".join(shell_lines(module.__doc__).split()) in "".join((ROOT / PAGE).read_text().split())


def test_what_comes_and_goes_with_the_way_does_not_count(model, tmp_path):
    before = folder_digest(model)
    (model / "ensemble" / "1" / "__init__.py").touch()
    for notes in (".cache/huggingface", "lost+found"):
        (model / notes).mkdir(parents=True)
        (model / notes / "x").write_text("x")
    other = tmp_path / "link"
    other.symlink_to(model)
    (model / "Z.txt").rename(tmp_path / "Z.txt")
    (model / "Z.txt").symlink_to(tmp_path / "Z.txt")  # as in a cache of Hugging Face
    assert folder_digest(other) == before == in_a_shell(f"{other}/")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "Z.txt").write_text("C"),
        lambda model: (model / "Z.txt").rename(model / "Y.txt"),
        lambda model: (model / "Z.txt").unlink(),
        lambda model: (model / ".hidden").write_text("x"),
        lambda model: (model / "a" / ".cache").write_text("x"),
    ],
)
def test_whatever_changes_the_files_changes_it(model, change):
    before = folder_digest(model)
    change(model)
    assert folder_digest(model) != before
    assert folder_digest(model) == in_a_shell(model)


def test_the_command(model, capsys, tmp_path):
    assert cli.main(["digest", str(model)]) == 0
    digest = capsys.readouterr().out.strip()
    assert digest == folder_digest(model)
    assert cli.main(["digest", str(model), "--expect", digest]) == 0
    (model / "Z.txt").write_text("other")
    assert cli.main(["digest", str(model), "--expect", digest]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{folder_digest(model)}, not {digest}" in said
    assert cli.main(["digest", str(tmp_path / "none")]) == 1
    assert "is not a folder" in capsys.readouterr().err
    (model / "a\nb").write_text("x")
    assert cli.main(["digest", str(model)]) == 1
    assert "no line breaks" in capsys.readouterr().err
