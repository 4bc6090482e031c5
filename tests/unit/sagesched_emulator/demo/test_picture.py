"""The picture is drawn from any set of runs, without a display."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.image import imread

from sagesched_emulator.demo.picture import draw
from sagesched_emulator.demo.trial import Trial

MakeTrial = Callable[..., Trial]


def test_a_picture_is_written(a_trial: MakeTrial, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    trials = [a_trial("direct"), a_trial("sagesched", ttlt_s=[0.5, 9.0]), a_trial("ssjf", ttlt_s=[])]
    draw(path, trials, "title", "subtitle")
    height, width, _ = imread(path).shape
    assert width > height > 500
