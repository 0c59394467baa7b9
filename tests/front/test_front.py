"""Dominance against brute force, hypervolume against the sum of rectangles; knees and marks by hand."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.front.difference import difference
from raysearch.front.front import Front, Mark, Marked, hypervolume_history
from tests.front.judged_trials import judged_trial
from tests.front.made_up_trials import trial

OBJECTIVES = ["macs", "wer"]
# Few values, so that ties and duplicates are common.
few = st.integers(1, 9).map(float)
trials_of = st.lists(st.tuples(few, few), max_size=12).map(
    lambda pairs: [trial(number, macs, wer) for number, (macs, wer) in enumerate(pairs)]
)


def dominates(a, b):
    (ax, ay), (bx, by) = ((t.cost.macs_g, t.metrics["eval/wer"]) for t in (a, b))
    return ax <= bx and ay <= by and (ax, ay) != (bx, by)


def area(records, reference):
    """Unit squares below and left of the reference that some point covers: exact for whole numbers."""
    cells = ((x, y) for x in range(reference[0]) for y in range(reference[1]))
    return sum(any(r.cost.macs_g <= x and r.metrics["eval/wer"] <= y for r in records) for x, y in cells)


@given(trials_of)
@settings(deadline=None)
def test_members_against_brute_force(records):
    front = Front.of(records, OBJECTIVES)
    expected = {a.number for a in records if not any(dominates(b, a) for b in records)}
    assert {member.number for member in front.members} == expected
    assert {member.number for member in front.dominated} == {r.number for r in records} - expected
    macs = [member.cost.macs_g for member in front.members]
    assert macs == sorted(macs)


@given(trials_of)
@settings(deadline=None)
def test_hypervolume_against_covered_squares(records):
    assert Front.of(records, OBJECTIVES).hypervolume([7, 6]) == pytest.approx(area(records, (7, 6)))


@given(trials_of)
@settings(deadline=None)
def test_history_equals_the_front_of_each_prefix(records):
    history = hypervolume_history(records, OBJECTIVES, [7, 6])
    assert [p.ended for p in history] == list(range(1, len(records) + 1))
    for count, progress in enumerate(history, start=1):
        front = Front.of(records[:count], OBJECTIVES)
        assert progress.hypervolume == pytest.approx(area(records[:count], (7, 6)))
        assert progress.front_size == len(front.members)


@given(trials_of, st.lists(st.floats(0, 3), min_size=12, max_size=12))
@settings(deadline=None)
def test_firmly_dominated_against_brute_force(records, halves):
    records = [
        trial(r.number, r.cost.macs_g, r.metrics["eval/wer"], half) for r, half in zip(records, halves, strict=False)
    ]
    marks = Front.of(records, OBJECTIVES).marks()

    def firmly(a, b):
        return a.cost.macs_g <= b.cost.macs_g and a.metrics["eval/wer_high"] < b.metrics["eval/wer_low"]

    expected = {b.number for b in records if any(firmly(a, b) for a in records)}
    assert {number for number, marked in marks.items() if marked.mark is Mark.FIRMLY_DOMINATED} == expected


THREE = ["macs", "wer", "eer"]
triples_of = st.lists(st.tuples(few, few, few), max_size=12).map(
    lambda triples: [
        trial(number, macs, wer, metrics={"eval/wer": wer, "eval/eer": eer})
        for number, (macs, wer, eer) in enumerate(triples)
    ]
)


def numbers(record):
    return (record.cost.macs_g, record.metrics["eval/wer"], record.metrics["eval/eer"])


def dominates_in_all(a, b):
    return all(x <= y for x, y in zip(numbers(a), numbers(b), strict=True)) and numbers(a) != numbers(b)


def covered(records, reference):
    """Unit cubes below the reference that some point covers: exact for whole numbers."""
    cells = product(*map(range, reference))
    return sum(any(all(x <= at for x, at in zip(numbers(r), cell, strict=True)) for r in records) for cell in cells)


@given(triples_of)
@settings(deadline=None)
def test_three_objectives_members_against_brute_force(records):
    front = Front.of(records, THREE)
    expected = {a.number for a in records if not any(dominates_in_all(b, a) for b in records)}
    assert {member.number for member in front.members} == expected
    assert {member.number for member in front.dominated} == {r.number for r in records} - expected


@given(triples_of)
@settings(deadline=None)
def test_three_objectives_hypervolume_against_covered_cubes(records):
    assert Front.of(records, THREE).hypervolume([7, 6, 8]) == pytest.approx(covered(records, (7, 6, 8)))
    history = hypervolume_history(records, THREE, [7, 6, 8])
    assert [progress.hypervolume for progress in history] == [
        pytest.approx(covered(records[: progress.ended], (7, 6, 8))) for progress in history
    ]


def test_three_objectives_hypervolume_by_hand():
    # In a cube of 4: (1, 2, 2) covers 3 x 2 x 2, (2, 1, 3) covers 2 x 3 x 1, and both cover 2 x 2 x 1.
    records = [
        trial(0, 1, 2, metrics={"eval/wer": 2, "eval/eer": 2}),
        trial(1, 2, 1, metrics={"eval/wer": 1, "eval/eer": 3}),
        trial(2, 3, 3, metrics={"eval/wer": 3, "eval/eer": 3}),
    ]
    front = Front.of(records, THREE)
    assert [member.number for member in front.members] == [0, 1]
    assert front.hypervolume([4, 4, 4]) == 12 + 6 - 4


@given(triples_of)
@settings(deadline=None)
def test_three_objectives_firmly_dominated_is_clear_in_every_error(records):
    marks = Front.of(records, THREE).marks()

    # Nothing has an interval here, so that all that is less is clearly less.
    def firmly(a, b):
        (am, *ae), (bm, *be) = numbers(a), numbers(b)
        return am <= bm and all(x < y for x, y in zip(ae, be, strict=True))

    expected = {b.number for b in records if any(firmly(a, b) for a in records)}
    assert {number for number, marked in marks.items() if marked.mark is Mark.FIRMLY_DOMINATED} == expected


def test_three_objectives_member_is_within_noise_only_if_it_is_so_in_both_errors():
    def judged(number, macs, wer, eer):
        ends = {f"eval/{name}_{end}": at + by for name, at in (("wer", wer), ("eer", eer)) for end, by in ENDS}
        return trial(number, macs, wer, metrics={"eval/wer": wer, "eval/eer": eer, **ends})

    records = [judged(0, 1, 30, 20), judged(1, 2, 29, 19), judged(2, 3, 29, 9), judged(3, 4, 20, 19)]
    marks = Front.of(records, THREE).marks()
    assert [marks[n].mark for n in range(4)] == [Mark.FRONT, Mark.FRONT_WITHIN_NOISE, Mark.FRONT, Mark.FRONT]


ENDS = (("low", -2), ("high", 2))


def test_two_costs_member_that_is_cheaper_in_one_of_them_is_no_noise():
    small = trial(1, 2, 30, 5, cost={"macs_g": 2, "params_m": 0.1})
    dearer = trial(2, 3, 29, 5, cost={"macs_g": 3, "params_m": 9})
    marks = Front.of([trial(0, 1, 30.5, 5, cost={"macs_g": 1, "params_m": 1}), small, dearer], TWO_COSTS).marks()
    assert [marks[n].mark for n in range(3)] == [Mark.FRONT, Mark.FRONT, Mark.FRONT_WITHIN_NOISE]


TWO_COSTS = ["macs", "params", "wer"]


def test_three_objectives_knee_has_the_least_sum_of_scaled_numbers():
    # log2 MACs 0, 1, 2, 4 of 4; WER 40, 12, 10, 8 of 32; EER 10, 10, 2, 6 of 8: sums 2, 1.38, 0.56, 1.5.
    given_ = [(1, 40, 10), (2, 12, 10), (4, 10, 2), (16, 8, 6)]
    records = [trial(n, m, w, metrics={"eval/wer": w, "eval/eer": e}) for n, (m, w, e) in enumerate(given_)]
    assert Front.of(records, THREE).knee().number == 2
    assert Front.of(records, OBJECTIVES).knee().number == 1


def test_front_equal_points_both_kept():
    front = Front.of([trial(0, 5, 20), trial(1, 5, 20), trial(2, 6, 20)], OBJECTIVES)
    assert [member.number for member in front.members] == [0, 1]


def test_front_of_unfinished_or_unmeasured_trials_is_empty():
    unmeasured = trial(2, 5, float("nan"))
    records = [trial(0, 5, 20, state="stopped"), trial(1, 5, 20, state="running"), unmeasured]
    front = Front.of(records, OBJECTIVES)
    assert (front.members, front.dominated, front.hypervolume([9, 99]), front.knee()) == ((), (), 0, None)


def test_hypervolume_of_a_point_beyond_the_reference_is_zero():
    assert Front.of([trial(0, 500, 5)], OBJECTIVES).hypervolume([400, 100]) == 0


def test_front_of_three_objectives_keeps_a_trial_best_in_the_third():
    small = trial(1, 10, 30, cost={"macs_g": 10, "params_m": 0.1})
    front = Front.of([trial(0, 5, 20), small], ["macs", "params", "wer"])
    assert [member.number for member in front.members] == [0, 1]
    assert front.hypervolume([20, 1, 50]) == pytest.approx(15 * 0.75 * 30 + 10 * 0.15 * 20)


def test_knee_is_the_bend():
    # On log2 MACs: (0, 40), (1, 12), (2, 10), (4, 8); 1 - x - y, scaled, is 0, 0.62, 0.44, 0.
    front = Front.of([trial(0, 1, 40), trial(1, 2, 12), trial(2, 4, 10), trial(3, 16, 8)], OBJECTIVES)
    assert front.knee().number == 1


def test_knee_of_a_hollow_front_is_the_cheapest():
    front = Front.of([trial(0, 1, 40), trial(1, 4, 39), trial(2, 8, 10)], OBJECTIVES)
    assert front.knee().number == 0


def test_marks_of_the_worked_example():
    members = [trial(12, 42.1, 31.4, 3.5), trial(7, 66.0, 30.9, 3.5), trial(19, 118.3, 24.2, 3.1)]
    dominated = [trial(3, 120, 25, 1), trial(4, 130, 40, 1), trial(5, 41, 90, 99, state="stopped")]
    marks = Front.of(members + dominated, OBJECTIVES).marks()
    assert {number: marked.mark for number, marked in marks.items()} == {
        12: Mark.FRONT,
        7: Mark.FRONT_WITHIN_NOISE,
        19: Mark.FRONT,
        3: Mark.WITHIN_NOISE,
        4: Mark.FIRMLY_DOMINATED,
    }


def test_small_steps_that_add_up_are_marked_clear():
    records = [trial(0, 1, 30, 2), trial(1, 2, 27, 2), trial(2, 3, 24, 2), trial(3, 4, 21, 2)]
    marks = Front.of(records, OBJECTIVES).marks()
    assert [marks[n].mark for n in range(4)] == [Mark.FRONT, Mark.FRONT_WITHIN_NOISE] * 2


@given(st.lists(st.tuples(few, st.lists(st.integers(0, 1), min_size=8, max_size=8)), max_size=8))
@settings(deadline=None)
def test_marks_by_pairs_against_brute_force(tried):
    # No interval leaves its value, so that pairs alone can call a difference noise.
    records = [judged_trial(number, macs, errors, half=0.0) for number, (macs, errors) in enumerate(tried)]
    front = Front.of(records, OBJECTIVES)
    marks = front.marks()
    for record in front.dominated:
        cheaper = [one for one in front.members if one.cost.macs_g <= record.cost.macs_g]
        firm = any(difference(one, record, "wer").high < 0 for one in cheaper)
        assert marks[record.number] == Marked(mark=Mark.FIRMLY_DOMINATED if firm else Mark.WITHIN_NOISE, by="pairs")
    clear = []
    for member in front.members:
        noisy = any(not difference(member, one, "wer").clear for one in clear)
        mark = Mark.FRONT_WITHIN_NOISE if noisy else Mark.FRONT
        assert marks[member.number] == Marked(mark=mark, by="pairs" if clear else None)
        clear += [] if noisy else [member]


def test_intervals_overlap_but_pairs_tell_apart():
    """The dearer student errs in fifteen cuts less, and nowhere more."""
    cheap, dear = judged_trial(0, 1, [1] * 60 + [0] * 60), judged_trial(1, 2, [1] * 45 + [0] * 75)
    assert Front.of([cheap, dear], OBJECTIVES).marks()[1] == Marked(mark=Mark.FRONT, by="pairs")
    bare = [one.model_copy(update={"evidence": {}}) for one in (cheap, dear)]
    for records in (bare, [cheap, bare[1]], [bare[0], dear]):
        assert Front.of(records, OBJECTIVES).marks()[1] == Marked(mark=Mark.FRONT_WITHIN_NOISE, by="intervals")


def test_dominated_trial_is_judged_by_pairs_where_its_cuts_allow():
    best, worse = judged_trial(0, 1, [1] * 45 + [0] * 75), judged_trial(1, 2, [1] * 60 + [0] * 60)
    elsewhere = judged_trial(2, 3, [1] * 60 + [0] * 60, name="other")
    marks = Front.of([best, worse, elsewhere], OBJECTIVES).marks()
    assert marks[1] == Marked(mark=Mark.FIRMLY_DOMINATED, by="pairs")
    assert marks[2] == Marked(mark=Mark.WITHIN_NOISE, by="intervals")


def test_history_follows_the_order_of_ending():
    late, early = trial(0, 1, 1, ended_s=20.0), trial(1, 3, 3, ended_s=10.0)
    failed, running = trial(2, 1, 1, state="failed", ended_s=15.0), trial(3, 1, 1, state="running")
    history = hypervolume_history([late, early, failed, running], OBJECTIVES, [4, 4])
    assert history == [(1, 1.0, 1), (2, 1.0, 1), (3, 9.0, 1)]
