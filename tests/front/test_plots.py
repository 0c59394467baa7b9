import struct

import pytest

from raysearch.front.beside import Beside
from raysearch.front.document import document
from raysearch.front.drawing import drawing, pairs_of, round_ticks
from raysearch.front.front import Mark
from raysearch.front.plots import draw_html, draw_png, figure
from raysearch.front.published import PublishedPoint
from tests.front.made_up_trials import search, search_of_three, trial


def test_drawing_shows_complete_trials_only():
    made = search(30)
    shown = drawing(made)
    assert [int(p.label) for p in shown.points] == [t.number for t in made.trials if t.state == "complete"]
    assert [int(p.label) for p in shown.front] == made.front
    assert {m for p in shown.points if (m := p.mark)} == set(Mark)


def test_drawing_carries_interval_settings_and_units():
    config = {"method": "dicehubert", "student.depth": 3}
    trials = [trial(0, 50, 20, 2, config=config), trial(1, 90, 10, 1, config=config | {"student.depth": 4})]
    shown = drawing(document("s", ["macs", "wer"], trials, [400, 100]))
    first = shown.points[0]
    assert (first.x, first.y, first.low, first.high) == (50, 20, 18, 22)
    assert first.details[-2:] == ("WER % 20.00 (18.00 - 22.00)", "student.depth 3")
    assert shown.x_label.endswith("GMAC")
    assert shown.subtitle == "2 trials (2 complete) · hypervolume 31100 at (400 GMAC, 100 % WER)"


def test_drawing_marks_the_teacher():
    teacher = drawing(search(3)).teacher
    assert teacher is not None
    assert (teacher.x, teacher.y, teacher.low, teacher.high) == (1665.4, 11.2, 9.4, 13.1)


def test_drawing_of_three_objectives_joins_what_is_best_on_the_axes_shown():
    small = trial(1, 10, 30, cost={"macs_g": 10, "params_m": 0.1})
    shown = drawing(document("s", ["macs", "params", "wer"], [trial(0, 5, 20), small], [20, 1, 50]))
    assert [p.label for p in shown.front] == ["0"]
    assert shown.points[1].mark is not None


@pytest.mark.parametrize("trials", [0, 1, 24])
def test_png_is_drawn_at_its_size(tmp_path, trials):
    draw_png(search(trials), tmp_path / "front.png")
    header = (tmp_path / "front.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (1440, 900)


def published(**kept):
    kept = {"name": "other", "task": "asr:an4", "metric": "wer", "error": 25, "source": "report 7"} | kept
    return PublishedPoint(macs_g=90, macs_of="superb-32", params_m=4, teacher="large", **kept)


def test_drawing_has_published_points_apart_from_the_trials():
    shown = drawing(search(12), Beside(points=[published()]))
    (point,) = shown.published
    assert (point.label, point.x, point.y, point.mark) == ("other", 90, 25, None)
    assert point.details[0] == "other (published, asr:an4)"
    assert point.details[1:] == ("90 GMAC, 4 M params", "WER % 25.00", "teacher large", "report 7")
    without = drawing(search(12))
    assert (shown.points, shown.front, shown.looks) == (without.points, without.front, without.looks)
    assert without.published == ()


def test_published_point_that_is_far_off_is_named_and_not_drawn():
    far = published(name="filterbanks", error=900)
    shown = drawing(search(12), Beside(points=[published(), far]))
    assert [point.label for point in shown.published] == ["other"]
    assert shown.subtitle.endswith("out of the picture: filterbanks")
    assert [point.label for point in drawing(search(0), Beside(points=[far])).published] == ["filterbanks"]


def test_pictures_with_published_points_name_them(tmp_path):
    found = Beside(points=[published(name="<b>bold</b>", source="<i>paper</i>")])
    draw_png(search(12), tmp_path / "front.png", beside=found)
    assert struct.unpack(">II", (tmp_path / "front.png").read_bytes()[16:24]) == (1440, 900)
    draw_html(search(12), tmp_path / "front.html", beside=found)
    page = (tmp_path / "front.html").read_text()
    assert '"name":"published"' in page
    assert "&lt;i&gt;paper" in page.replace("\\u0026", "&")
    assert "<b>bold" not in page.replace("\\u003c", "<").replace("\\u003e", ">")


def test_html_asks_nothing_of_the_network_and_escapes_settings(tmp_path):
    sly = trial(0, 50, 20, 2, config={"method": "<script>alert(1)</script>"})
    draw_html(document("s", ["macs", "wer"], [sly], [400, 100]), tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text()
    assert "<script src=" not in page
    assert "<link" not in page.split("<body>")[0]
    assert "<script>alert(1)" not in page
    assert "trial 0" in page


def test_html_colours_and_names_a_method_that_is_nowhere_on_the_front(tmp_path):
    trials = [trial(0, 50, 10, 1), trial(1, 60, 40, 1, config={"method": "distilhubert"})]
    draw_html(document("s", ["macs", "wer"], trials, [400, 100]), tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text()
    assert '"name":"distilhubert"' in page
    assert drawing(document("s", ["macs", "wer"], trials, [400, 100])).looks["distilhubert"].colour in page


def test_open_is_within_noise_and_shape_is_the_method():
    made = search(60)
    drawn = figure(made)
    shapes = {method: look.shape.plotly for method, look in drawing(made).looks.items()}
    assert len(set(shapes.values())) == len(shapes) == 4
    symbols = {}
    for trace in drawn.data:
        if isinstance(trace.marker.symbol, tuple):
            for text, symbol in zip(trace.hovertext, trace.marker.symbol, strict=True):
                symbols[int(text.split(",")[0].removeprefix("trial "))] = symbol
    marks = made.marked()
    expected = {
        one.number: shapes[one.method] + ("-open" if "within noise" in marks[one.number].mark.value else "")
        for one in made.trials
        if one.number in marks
    }
    assert symbols == expected


def test_only_members_have_intervals_and_a_button_hides_them():
    drawn = figure(search(60))
    barred = [trace for trace in drawn.data if trace.error_y.array is not None]
    assert sum(len(trace.x) for trace in barred) == len(search(60).front)
    assert [button.args[0] for button in drawn.layout.updatemenus[0].buttons] == [
        {"error_x.visible": on, "error_y.visible": on} for on in (True, False)
    ]


def test_third_objective_is_the_colour_and_the_method_the_shape_alone():
    made = search_of_three(30)
    shown = drawing(made)
    assert (shown.axes, shown.third) == (("macs", "wer"), "eer")
    eers = {t.number: t.metrics["eval/eer"] for t in made.trials}
    shares = {int(p.label): share for p, share in zip(shown.points, shown.thirds, strict=True)}
    assert (min(shares.values()), max(shares.values())) == (0, 1)
    assert sorted(shares, key=shares.get) == sorted(shares, key=eers.get)
    colours = {}
    for trace in figure(made).data:
        if trace.customdata is not None:
            own = trace.marker.color if isinstance(trace.marker.color, tuple) else [trace.marker.color]
            colours |= dict(zip((text.split(",")[0] for text in trace.hovertext), own, strict=True))
    assert len(colours) == len(shown.points)
    assert len(set(colours.values())) > 10


@pytest.mark.parametrize("shown_on", pairs_of(["macs", "wer", "eer"]))
def test_any_two_of_three_objectives_on_the_axes(shown_on):
    made = search_of_three(40)
    shown = drawing(made, shown_on=shown_on)
    best = sorted((p.x, p.y) for p in shown.points)
    steps = [p for at, p in enumerate(best) if all(p[1] < other[1] for other in best[:at])]
    assert [(p.x, p.y) for p in shown.front] == steps
    drawn = figure(made, shown_on=shown_on)
    assert drawn.layout.xaxis.type == ("log" if shown_on[0] == "macs" else None)
    barred = [trace for trace in drawn.data if trace.error_x.array is not None]
    assert bool(barred) == (shown_on[0] != "macs")


def test_published_points_stand_beside_the_error_that_they_have():
    found = Beside(points=[published()])
    made = search_of_three(12)
    assert [len(drawing(made, found, pair).published) for pair in pairs_of(made.objectives)] == [1, 0, 0]


def test_page_of_three_objectives_holds_every_pair_and_no_script_of_others(tmp_path):
    made = search_of_three(12)
    sly = made.trials[0].model_copy(update={"config": {"method": "</script><script>alert(1)</script>"}})
    draw_html(made.model_copy(update={"trials": [sly, *made.trials[1:]]}), tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text()
    data = page[page.index("const { pairs, objectives } = ") :]
    assert [f'"label": "{label}"' in data for label in ("MACs G and WER %", "MACs G and EER %", "WER % and EER %")]
    assert data.count("</script>") == 1, "its own end"
    assert "<script src=" not in page
    assert "@TITLE@" not in data
    draw_png(made, tmp_path / "front.png")
    assert struct.unpack(">II", (tmp_path / "front.png").read_bytes()[16:24]) == (1440, 900)


def test_ticks_are_round_numbers_in_range():
    assert round_ticks(35, 600) == [50, 100, 200, 500]
    assert round_ticks(0.5, 5000) == [1, 10, 100, 1000]
