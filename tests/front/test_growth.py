"""Hypervolume against core-seconds, against sums done by hand."""

from math import isnan, nan

import matplotlib.image
import pytest

from raysearch.errors import InputError
from raysearch.front.compare import compare_searches
from raysearch.front.document import document
from raysearch.front.seeds.growth import draw_growth, growth_table, growths
from raysearch.front.table import markdown_table
from raysearch.front.trials import SharedTraining
from tests.front.made_up_trials import trial

OBJECTIVES = ["macs", "wer"]
SUPERNET = SharedTraining(method="supernet", digest="ab", seconds=700.0, cpu_seconds=1000.0)


def spent(number, macs_g, wer, cpu_s, ended_s, state="complete"):
    metrics = {"eval/wer": wer, "cost/seconds": 2 * cpu_s, "cost/cpu_seconds": cpu_s}
    return trial(number, macs_g, wer, state=state, metrics=metrics, ended_s=ended_s)


def sliced(name="sliced-0", shared=SUPERNET):
    # Trial 1 ended first; the stopped one and the one that ended without a report are paid for, and add nothing.
    trials = [
        spent(0, 10, 50, cpu_s=20, ended_s=9.0),
        spent(1, 50, 20, cpu_s=30, ended_s=5.0),
        spent(2, 20, 10, cpu_s=40, ended_s=11.0, state="stopped"),
        trial(3, 5, 5, state="failed", metrics={}, ended_s=12.0),
        trial(4, 5, 5, state="running", metrics={"cost/cpu_seconds": 500.0}),
    ]
    return document(name, OBJECTIVES, trials, [100, 100], shared=[shared])


def test_shared_training_counts_before_the_first_trial() -> None:
    (row,) = growths([sliced()], [999, 1029, 1030, 1049.9, 1050, 5000])
    assert (row.name, row.searches, row.measure) == ("sliced", ["sliced-0"], "cpu_seconds")
    assert [one.volume.mean for one in row.at] == [0, 0, 50 * 80, 50 * 80, 50 * 80 + 40 * 50, 50 * 80 + 40 * 50]
    assert [one.ended for one in row.at] == [False] * 5 + [True]
    assert (row.shared.mean, row.total.mean) == (1000, 1090)


def test_names_that_differ_in_the_number_at_their_end_are_seeds_of_one_search() -> None:
    other = document("alone-s1", OBJECTIVES, [spent(0, 20, 40, cpu_s=5, ended_s=1.0)], [100, 100])
    third = document("alone-s2", OBJECTIVES, [spent(0, 20, 60, cpu_s=10, ended_s=1.0)], [200, 100])
    an4 = document("all-an4", OBJECTIVES, [spent(0, 20, 60, cpu_s=10, ended_s=1.0)], [100, 100])
    first, second, last = growths([other, sliced(), third, an4], [4, 5, 10])
    assert [row.name for row in (first, second, last)] == ["alone", "sliced", "all-an4"]
    assert first.searches == ["alone-s1", "alone-s2"]
    assert first.reference_point == second.reference_point == [200, 100]
    assert [one.volume.values for one in first.at] == [[0, 0], [180 * 60, 0], [180 * 60, 180 * 40]]
    assert first.at[2].volume.mean == 180 * 50
    # Student's t with one degree of freedom is 12.706 at 97.5 %: half the difference times that.
    assert first.at[2].volume.half == pytest.approx(12.706 * 180 * 10, rel=1e-4)
    assert isnan(last.at[2].volume.half)
    table = growth_table([other, sliced(), third, an4], [4, 5, 10]).splitlines()
    assert [" ".join(line.split()) for line in table[:3]] == [
        "search seeds shared s all s 4 s 5 s 10 s",
        "alone 2 0 8 0 +- 0 5,400 +- 68,614 9,000 +- 22,871 *",
        "sliced 1 1,000 1,090 0 0 0",
    ]
    assert "core-seconds" in table[5]


def test_seconds_of_the_clock_count_for_all_where_one_search_knows_no_others() -> None:
    old = document("old", OBJECTIVES, [trial(0, 10, 50, metrics={"eval/wer": 50.0, "cost/seconds": 7.0})], [100, 100])
    one, other = growths([sliced(), old], [800])
    assert one.measure == other.measure == "seconds"
    assert (one.shared.mean, one.total.mean, other.total.mean) == (700, 700 + 2 * 90, 7)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ([document("none", OBJECTIVES, [trial(0, 10, 50)], [100, 100])], r"none: trial 0: no cost/seconds; expected"),
        ([sliced("s", SUPERNET.model_copy(update={"seconds": nan, "cpu_seconds": nan}))], "s: supernet's training: no"),
        ([sliced(), sliced()], "sliced-0: two searches of this name; expected each once"),
    ],
    ids=["trial", "shared", "twice"],
)
def test_search_without_seconds_or_given_twice_is_refused(changed, told) -> None:
    with pytest.raises(InputError, match=told):
        growths(changed)


def test_budgets_of_nobody_reach_from_the_first_trial_to_the_last() -> None:
    (row,) = growths([sliced()])
    assert row.at[0].seconds >= 1030
    assert row.at[0].volume.mean > 0
    assert row.at[-1].seconds >= 1090


def test_picture_has_a_line_for_each_search_and_a_band_for_its_seeds(tmp_path) -> None:
    one, other, alone = sliced("a-0"), sliced("a-1", SUPERNET.model_copy(update={"cpu_seconds": 1010.0})), sliced("b")
    draw_growth([one, other, alone], tmp_path / "growth.png")
    draw_growth([one, alone], tmp_path / "less.png")
    pictures = [matplotlib.image.imread(tmp_path / name) for name in ("growth.png", "less.png")]
    assert {picture.shape for picture in pictures} == {(900, 1440, 4)}
    assert (pictures[0] != pictures[1]).any()


def test_shared_training_is_shown_and_counts_as_hours() -> None:
    assert compare_searches([sliced()])[0].hours == pytest.approx((2 * 90 + 700) / 3600)
    assert "before the trials: supernet's training, 700 s (1000 core-seconds)" in markdown_table(sliced())
