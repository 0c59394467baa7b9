"""The picture of what pruning left."""

import json

import pytest
from matplotlib.image import imread

from raysearch.front.pruned_layers import draw_pruned_layers


def test_pruned_trial_then_a_bar_as_long_as_what_is_left(tmp_path):
    half = {"left": [50, 50], "before": [100, 100]}
    (tmp_path / "left.json").write_text(json.dumps({"channels": half, "heads": half, "ffn": half}))
    draw_pruned_layers(tmp_path, tmp_path / "left.png")
    picture = imread(tmp_path / "left.png")[..., :3]
    assert picture.shape == (640, 1920, 3)
    blue = (abs(picture - (0x00 / 255, 0x72 / 255, 0xB2 / 255)).max(-1) < 0.01).sum()
    grey = (abs(picture - 0xE3 / 255).max(-1) < 0.01).sum()
    assert blue == pytest.approx(grey, rel=0.15)


def test_trial_that_is_not_sliced_yet_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        draw_pruned_layers(tmp_path, tmp_path / "left.png")
