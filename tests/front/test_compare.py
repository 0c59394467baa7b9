import pytest

from raysearch.errors import InputError
from raysearch.front.compare import compare_searches, compare_table
from raysearch.front.document import document
from tests.front.judged_trials import judged_trial
from tests.front.made_up_trials import trial

OBJECTIVES = ["macs", "wer"]


def spent(number, macs_g, wer):
    return trial(number, macs_g, wer, metrics={"eval/wer": wer, "cost/seconds": 1800.0})


@pytest.fixture
def searches():
    a = document("a", OBJECTIVES, [spent(0, 10, 50), spent(1, 100, 20), spent(2, 200, 60)], [400, 80])
    b = document("b", OBJECTIVES, [spent(0, 20, 45), spent(1, 80, 30)], [300, 100])
    return [a, b]


def test_compare_uses_one_reference_point(searches):
    a, b = compare_searches(searches)
    assert a.reference_point == b.reference_point == [400, 100]
    assert a.hypervolume == pytest.approx(90 * 50 + 300 * 80)
    assert b.hypervolume == pytest.approx(60 * 55 + 320 * 70)
    assert (a.hours, b.hours) == (1.5, 1.0)
    assert (a.front_size, a.joint_front_size, b.joint_front_size) == (2, 2, 2)


def test_compare_best_is_the_lowest_error_within_the_budget(searches):
    a, b = compare_searches(searches)
    assert [best.budget for best in a.best] == [22, 47, 100]
    assert [best.trial for best in a.best] == [0, 0, 1]
    assert [best.error for best in b.best] == [45, 45, 30]


def test_compare_nothing_within_the_budget_is_no_trial():
    dear = document("dear", OBJECTIVES, [spent(0, 500, 9)], [400, 100])
    cheap = document("cheap", OBJECTIVES, [spent(0, 1, 90)], [400, 100])
    rows = compare_searches([dear, cheap])
    assert rows[0].best[0].trial is None
    assert compare_table([dear, cheap]).splitlines()[1].split()[:8] == ["dear", "1", "1", "1", "0", "0.50", "0", "-"]


def test_compare_tells_searches_apart_by_pairs():
    """The two searches number their trials alike, and were judged on the same cuts."""
    a = document("a", OBJECTIVES, [judged_trial(0, 10, [1] * 60 + [0] * 60)], [400, 100])
    better = document("better", OBJECTIVES, [judged_trial(0, 10, [1] * 45 + [0] * 75)], [400, 100])
    alike = document("alike", OBJECTIVES, [judged_trial(0, 10, [0] * 60 + [1] * 59 + [0])], [400, 100])
    other = document("other", OBJECTIVES, [judged_trial(0, 10, [1] * 45 + [0] * 75, name="other")], [400, 100])
    changes = [row.best[-1].change for row in compare_searches([a, better, alike, other])]
    assert [change and (change.by, change.clear) for change in changes] == [
        None,
        ("pairs", True),
        ("pairs", False),
        ("intervals", False),
    ]
    assert changes[1].value == pytest.approx(-12.5)
    *table, note = compare_table([a, better, alike, other]).splitlines()
    assert [line.rstrip().endswith("~") for line in table[1:5]] == [False, False, True, True]
    assert note == "~ cannot be told from the first search's"


def test_compare_other_objectives_are_refused(searches):
    other = document("c", ["macs", "eer"], [], [400, 50])
    with pytest.raises(InputError, match=r"^c: objectives: .*'eer'.*; expected .*'wer'.* as in a$"):
        compare_searches([*searches, other])


def test_compare_with_three_objectives_has_budgets_for_each_error():
    def both(number, macs_g, wer, eer):
        return trial(number, macs_g, wer, metrics={"eval/wer": wer, "eval/eer": eer})

    a = document("a", ["macs", "wer", "eer"], [both(0, 10, 50, 9), both(1, 10, 40, 30)], [100, 100, 100])
    b = document("b", ["macs", "wer", "eer"], [both(0, 10, 45, 8)], [100, 100, 100])
    rows = compare_searches([a, b])
    assert [(best.cost, best.objective, best.budget, best.trial) for best in rows[0].best] == [
        ("macs", "wer", 10, 1),
        ("macs", "eer", 10, 0),
    ]
    assert [best.error for best in rows[1].best] == [45, 8]
    # On the errors: 60 x 70, and 50 x 91, of which 50 x 70 are in both.
    assert rows[0].hypervolume == pytest.approx(90 * (60 * 70 + 50 * 91 - 50 * 70))
    assert [row.joint_front_size for row in rows] == [1, 1]
    head = compare_table([a, b]).splitlines()[0]
    assert "WER % <= 10 GMAC" in head
    assert "EER % <= 10 GMAC" in head


def test_compare_with_two_costs_has_budgets_for_each():
    small = trial(1, 40, 30, cost={"macs_g": 40, "params_m": 1})
    rows = compare_searches([document("a", ["macs", "params", "wer"], [trial(0, 20, 50), small], [100, 9, 100])])
    assert {(best.cost, best.objective) for best in rows[0].best} == {("macs", "wer"), ("params", "wer")}
