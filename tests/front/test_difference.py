"""Differences by pairs: their 95 % are 95 %, they are sharper than intervals, and intervals do where pairs cannot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.evidence.kept import judged_pairs
from raysearch.front.difference import Differences, difference
from raysearch.front.trials import TrialRecord
from tests.front.judged_trials import judged_trial
from tests.front.made_up_trials import trial

SEARCHES, CUTS = 600, 150
GAIN = 0.2
"""The better student fails with a fifth less probability, which is GAIN / 3 on all cuts together."""


@pytest.fixture(scope="module")
def searches() -> list[tuple[TrialRecord, TrialRecord]]:
    """Two students of each of many searches, on cuts that are hard or easy for both.

    A cut of difficulty d, which is uniform, fails the worse student with probability d^2. Half the time both stumble
    over the same thing.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(SEARCHES):
        difficulty, shared, own = rng.random((3, CUTS))
        luck = np.where(rng.random(CUTS) < 0.5, shared, own)
        worse, better = shared < difficulty**2, luck < (1 - GAIN) * difficulty**2
        found.append((judged_trial(0, 1.0, worse.tolist()), judged_trial(1, 2.0, better.tolist())))
    return found


def test_interval_of_the_difference_holds_the_truth_95_times_in_100(searches) -> None:
    """Of 600 searches the share has a standard error of 0.9 points. Unpaired, it would be 99 % or more."""
    told = Differences([one for pair in searches for one in pair], "wer")
    found = [told.between(worse, better) for worse, better in searches]
    assert {one.by for one in found} == {"pairs"}
    held = np.mean([one.low <= 100 * GAIN / 3 <= one.high for one in found])
    assert 0.925 < held < 0.972


def test_students_that_are_alike_are_told_apart_5_times_in_100() -> None:
    rng = np.random.default_rng(1)
    difficulty = rng.random((SEARCHES, CUTS))
    errors = rng.random((2, SEARCHES, CUTS)) < difficulty**2
    pairs = [[judged_trial(0, 1.0, one.tolist()) for one in both] for both in errors.swapaxes(0, 1)]
    told = Differences([one for pair in pairs for one in pair], "wer")
    found = [told.between(*pair) for pair in pairs]
    assert 0.028 < np.mean([one.clear for one in found]) < 0.075
    # Neither side is favoured.
    assert 0.35 < np.mean([one.low > 0 for one in found if one.clear]) < 0.65


def test_pairs_are_sharper_than_intervals(searches) -> None:
    pairs = searches[:100]
    told = Differences([one for pair in pairs for one in pair], "wer")
    bare = [[one.model_copy(update={"evidence": {}}) for one in pair] for pair in pairs]
    untold = Differences([one for pair in bare for one in pair], "wer")
    paired, unpaired = [told.between(*pair) for pair in pairs], [untold.between(*pair) for pair in bare]
    widths = [np.mean([one.high - one.low for one in found]) for found in (paired, unpaired)]
    assert widths[0] < 0.6 * widths[1]
    assert sum(one.clear for one in paired) > 3 * sum(one.clear for one in unpaired)


def test_pairs_against_resampling_by_hand() -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 20, 60)
    one, other = rng.binomial(lengths, 0.4), rng.binomial(lengths, 0.3)
    found = difference(judged_trial(0, 1, one, lengths), judged_trial(1, 2, other, lengths), "wer")
    drawn = rng.choice(60, (20_000, 60))
    by_hand = 100 * (one - other)[drawn].sum(1) / lengths[drawn].sum(1)
    assert found.value == pytest.approx(100 * (one.sum() - other.sum()) / lengths.sum())
    assert (found.low, found.high) == pytest.approx(np.percentile(by_hand, [2.5, 97.5]), abs=0.15 * by_hand.std())


few = st.lists(st.integers(0, 1), min_size=4, max_size=8)


@given(few, few, st.booleans())
@settings(deadline=None)
def test_difference_is_the_negative_of_its_reverse(one, other, bare) -> None:
    a, b = judged_trial(0, 1, one), judged_trial(1, 2, other)
    a = a.model_copy(update={"evidence": {}}) if bare else a
    there, back = difference(a, b, "wer"), difference(b, a, "wer")
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.by == back.by == ("pairs" if len(one) == len(other) >= 6 and not bare else "intervals")
    assert there.low <= there.value <= there.high
    if there.by == "intervals":
        ends = [(x.metrics["eval/wer_low"], x.metrics["eval/wer_high"]) for x in (a, b)]
        assert there.clear == (ends[0][0] > ends[1][1] or ends[1][0] > ends[0][1])


def test_other_cuts_or_lengths_or_no_cuts_then_intervals() -> None:
    one = judged_trial(0, 1, [1] * 20 + [0] * 20)
    for other in (
        judged_trial(1, 2, [1] * 20 + [0] * 20, name="other"),
        judged_trial(1, 2, [1] * 20 + [0] * 20, lengths=2),
        trial(1, 2, 50, 10),
    ):
        assert difference(one, other, "wer").by == "intervals"
    assert difference(one, judged_trial(1, 2, [1] * 40), "wer").by == "pairs"


def test_speakers_are_drawn_for_both_alike() -> None:
    """Both students score the same pairs. The second adds noise to the first's scores, so that it errs more often."""
    rng = np.random.default_rng(0)
    spoken_by = {f"cut{at}": f"speaker{at % 20}" for at in range(80)}
    pairs = [(a, b) for a in spoken_by for b in spoken_by if a < b]
    same = np.array([spoken_by[a] == spoken_by[b] for a, b in pairs])
    scores = rng.normal(size=len(pairs)) + 2 * same

    def student(number, scored):
        judged = judged_pairs(spoken_by, pairs, same.tolist(), scored)
        metrics = {"eval/eer": judged.value, "eval/eer_low": judged.value - 4, "eval/eer_high": judged.value + 4}
        return trial(number, 1.0, 0.0, metrics=metrics, evidence={"eval/eer": judged})

    one, noisy = student(0, scores), student(1, scores + rng.normal(size=len(pairs)))
    found = difference(noisy, one, "eer")
    assert found.by == "pairs"
    assert found.clear
    assert found.low < found.value < found.high < 15
    # Only the order of scores decides: a student whose scores are squeezed is the same student.
    squeezed = difference(student(2, np.tanh(scores)), one, "eer")
    assert (squeezed.low, squeezed.value, squeezed.high) == (0, 0, 0)
    assert not squeezed.clear
