"""The page of settings, read back as the data plotly is given."""

from raysearch.front.settings_page import _coordinates, draw_settings
from tests.front.made_up_trials import search


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
