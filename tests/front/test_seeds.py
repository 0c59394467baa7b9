"""Means over searches that differ in their seed."""

from math import isnan

import pytest
from scipy.stats import ttest_1samp

from raysearch.errors import InputError
from raysearch.front.document import document
from raysearch.front.seeds.means import average_over_seeds, seeds_table
from tests.front.made_up_trials import trial

DENSE, HALF = {"method": "hjpruning", "ratio": 1.0}, {"method": "hjpruning", "ratio": 0.5}


def search(name, dense, half, state="complete"):
    trials = [
        trial(0, 20, half, config=HALF, state=state, metrics={"eval/wer": half, "test/wer": half + 1}),
        trial(1, 40, dense, config=DENSE, metrics={"eval/wer": dense, "test/wer": dense + 1}),
    ]
    return document(name, ["macs", "wer"], trials, [100, 100])


@pytest.fixture
def searches():
    return [search("a", 10, 12), search("b", 20, 23), search("c", 12, 13)]


def test_over_seeds_then_mean_interval_and_paired_change(searches):
    dense, half = average_over_seeds(searches)
    assert (dense.config, half.config) == (DENSE, HALF)
    assert dense.error["eval"].values == [10, 20, 12]
    assert dense.error["test"].mean == pytest.approx(15)
    interval = ttest_1samp([2, 3, 1], 0).confidence_interval()
    change = half.change["eval"]
    assert (change.mean - change.half, change.mean + change.half) == pytest.approx((interval.low, interval.high))
    assert dense.change["eval"].mean == 0


def test_seeds_table_then_one_line_a_configuration_the_dearest_first(searches):
    head, dense, half, note = seeds_table(searches).splitlines()
    assert head.split("  ")[0] == "ratio"
    assert dense.split() == ["1", "40.00", "14.0", "+-", "13.1", "-", "15.0", "+-", "13.1", "-"]
    assert half.split()[:2] == ["0.5", "20.00"]
    assert "+2.0 +- 2.5" in half
    assert note.startswith("Means of 3 searches")


def test_seeds_table_of_several_methods_then_names_them():
    trials = [trial(n, 20, 9 + n, config={"method": name}) for n, name in enumerate(["oskdft", "ft-only"])]
    head, one, other, _ = seeds_table([document("a", ["macs", "wer"], trials, [100, 100])]).splitlines()
    assert (head.split()[0], one.split()[0], other.split()[0]) == ("method", "oskdft", "ft-only")


def test_one_search_then_no_interval(searches):
    assert "+-" not in seeds_table(searches[:1]).partition("Means")[0]


def test_searches_without_test_errors_then_dev_alone():
    trials = [trial(0, 20, 12, config=HALF), trial(1, 40, 10, config=DENSE)]
    searches = [document(name, ["macs", "wer"], trials, [100, 100]) for name in "ab"]
    assert isnan(average_over_seeds(searches)[0].error["test"].half)
    assert "test" not in seeds_table(searches).splitlines()[0]


def test_no_configuration_in_common_is_refused(searches):
    other = document("d", ["macs", "wer"], [trial(0, 20, 9, config={"method": "x"})], [100, 100])
    with pytest.raises(InputError, match=r"^a, d: no configuration is complete in all; expected"):
        average_over_seeds([searches[0], other])


def test_trial_that_failed_in_one_search_then_left_out(searches):
    rows = average_over_seeds([searches[0], search("e", 10, 12, state="failed")])
    assert [row.config for row in rows] == [DENSE]
