"""What is kept of how students were judged: exact, small, and never trusted beyond what it says."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raysearch.evidence.kept import (
    FILE,
    Evidence,
    Packed,
    Shelf,
    agreeing,
    judged_cuts,
    judged_pairs,
    read_evidence,
    resampled_together,
    write_evidence,
)
from raysearch.evidence.resampling import ends, share
from raysearch.tasks.fields.counted import counted_interval
from raysearch.tasks.interval import rate_interval
from raysearch.tasks.speaker.detection import eer_score

cuts = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 40)), min_size=1, max_size=20).map(
    lambda counts: judged_cuts([f"c{at}" for at in range(len(counts))], *zip(*counts, strict=True))
)


def speakers_judged(seed: int):
    """Ten speakers, four cuts each, every pair of cuts; scores with ties."""
    rng = np.random.default_rng(seed)
    spoken_by = {f"cut{at}": f"speaker{at % 10}" for at in range(40)}
    pairs = [(one, other) for one in spoken_by for other in spoken_by if one < other]
    same = [spoken_by[one] == spoken_by[other] for one, other in pairs]
    scores = np.round(rng.normal(size=len(pairs)) + 1.5 * np.array(same), 2)
    return judged_pairs(spoken_by, pairs, same, scores), scores, same, [(spoken_by[a], spoken_by[b]) for a, b in pairs]


@given(cuts, cuts)
def test_file_and_pack_hold_what_was_put_in(tmp_path_factory, dev, test) -> None:
    path = tmp_path_factory.mktemp("trial") / FILE
    evidence: Evidence = {"eval/per": dev, "test/per": test}
    write_evidence(path, evidence)
    assert read_evidence(path) == evidence
    assert [file.name for file in path.parent.iterdir()] == [FILE]
    packed = Packed.checked_json(Packed.of({3: evidence, 5: {"eval/per": dev}, 6: {}}).model_dump_json())
    assert (packed.of_trial(3), packed.of_trial(5), packed.of_trial(6)) == (evidence, {"eval/per": dev}, {})
    assert len(packed.bases) == len({dev.basis, test.basis})


@given(cuts)
def test_rate_is_the_sum_of_errors_over_that_of_lengths(judged) -> None:
    assert judged.value == pytest.approx(100 * sum(judged.found) / sum(judged.basis.lengths))


def test_resamples_are_those_of_the_intervals() -> None:
    """One bootstrap: with the same seed the percentiles of what is subtracted are the ends of the intervals."""
    rng = np.random.default_rng(0)
    lengths, errors = rng.integers(1, 9, 50), rng.integers(0, 4, 50)
    names = [f"c{at}" for at in range(50)]
    words, score = judged_cuts(names, errors, lengths), rate_interval(errors, lengths, seed=0)
    assert ends(resampled_together(words.basis, (words.found,)))[:, 0] == pytest.approx((score.low, score.high))

    wrong = errors > 1
    joined, parts = judged_cuts(names, wrong, np.ones(50), [20, 30]), (wrong[:20], wrong[20:])
    score = counted_interval([np.stack([one, np.ones(len(one))], 1).astype(float) for one in parts], share, seed=0)
    assert joined.value == pytest.approx(score.value)
    assert ends(resampled_together(joined.basis, (joined.found,)))[:, 0] == pytest.approx((score.low, score.high))

    pairs, scores, same, speakers = speakers_judged(0)
    score = eer_score(scores, same, speakers, seed=0)
    assert pairs.value == pytest.approx(score.value)
    assert ends(resampled_together(pairs.basis, (pairs.found,)))[:, 0] == pytest.approx((score.low, score.high))


def test_students_resampled_together_have_what_each_has_alone() -> None:
    one, other = speakers_judged(1)[0], speakers_judged(2)[0]
    assert one.basis == other.basis
    together = resampled_together(one.basis, (one.found, other.found))
    alone = [resampled_together(judged.basis, (judged.found,)) for judged in (one, other)]
    np.testing.assert_allclose(together, np.hstack(alone))


def test_errors_of_another_rung_are_left_out() -> None:
    judged = judged_cuts(["a", "b"], [1, 2], [5, 5])
    assert agreeing({"eval/per": judged, "test/per": judged}, {"eval/per": 30.0, "test/per": 29.0}) == {
        "eval/per": judged
    }


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b torn", b"{}"])
def test_missing_or_damaged_file_holds_nothing(tmp_path: Path, content: bytes) -> None:
    assert read_evidence(tmp_path / FILE) == {}
    (tmp_path / FILE).write_bytes(content)
    assert read_evidence(tmp_path / FILE) == {}


def test_figures_that_do_not_fit_their_basis_are_refused() -> None:
    judged = judged_cuts(["a", "b"], [1, 2], [5, 5])
    with pytest.raises(ValidationError, match="3 figures; expected 2"):
        type(judged)(basis=judged.basis, found=(1, 2, 3))
    with pytest.raises(ValidationError, match="3 figures of trial 0; expected 2"):
        Packed(bases=[judged.basis], trials={0: {"eval/per": (0, (1, 2, 3))}})
    with pytest.raises(ValidationError, match="basis 1 of trial 0; expected one of 1"):
        Packed(bases=[judged.basis], trials={0: {"eval/per": (1, (1, 2))}})


def test_memory_holds_a_shared_basis_once() -> None:
    shelf = Shelf()
    first, second = (shelf.sharing({"eval/per": judged_cuts(["a", "b"], [n, 2], [5, 5])}) for n in (0, 1))
    assert first["eval/per"].basis is second["eval/per"].basis


def test_file_of_a_small_corpus_takes_two_kilobytes(tmp_path: Path) -> None:
    """AN4 has 130 recordings on test and a hundred on dev."""
    rng = np.random.default_rng(0)

    def split(count: int):
        lengths = rng.integers(3, 40, count)
        return judged_cuts(
            [f"f{rng.integers(99):02d}-cen{at}" for at in range(count)], rng.binomial(lengths, 0.25), lengths
        )

    write_evidence(tmp_path / FILE, {"eval/per": split(100), "test/per": split(130)})
    assert (tmp_path / FILE).stat().st_size < 2_000
