"""The page of settings, read back as the data plotly is given."""

import pytest

from raysearch.front.document import document
from raysearch.front.settings_page import _coordinates, draw_settings, setting_axes
from tests.front.made_up_trials import search, trial


def test_page_holds_coordinates_importances_and_no_address(tmp_path):
    draw_settings(search(), {"wer": {"student.depth": 0.75, "</script>": 0.25}}, tmp_path / "s.html")
    text = (tmp_path / "s.html").read_text()
    assert "parcoords" in text
    assert "student.depth" in text
    assert "PED-ANOVA" in text
    assert '<script src="http' not in text
    assert "0.25" in text


def test_coordinates_end_with_the_objectives():
    made = search()
    dimensions = _coordinates(made).data[0].dimensions
    assert [dimension.label for dimension in dimensions[-2:]] == ["MACs G", "WER %"]
    assert dimensions[0].label == "method"


def axis(key, *settings):
    trials = [trial(n, 50 + n, 20 - n, config={"method": "m", key: one}) for n, one in enumerate(settings)]
    trials = [
        one.model_copy(update={"config": {k: v for k, v in one.config.items() if v is not None}}) for one in trials
    ]
    return next(axis for axis in setting_axes(document("s", ["macs", "wer"], trials, [400, 100])) if axis.key == key)


def test_whole_numbers_have_whole_ticks():
    assert axis("student.depth", 2, 4, 3).ticks == {2: "2", 3: "3", 4: "4"}
    many = axis("student.depth", *range(1, 31))
    assert len(many.ticks) <= 8
    assert all(place == int(text) for place, text in many.ticks.items())


def test_wide_range_is_laid_out_by_powers_of_ten():
    found = axis("training.lr", *(1e-4 * 2**n for n in range(10)))
    assert found.values[0] == pytest.approx(-4)
    assert {text: place for place, text in found.ticks.items()}["0.001"] == pytest.approx(-3)


def test_trial_without_a_setting_lies_below_all_others():
    found = axis("pruning.macs_ratio", 0.3, None, 0.9)
    assert found.values[1] < 0.3
    assert found.ticks[found.values[1]] == "-"
