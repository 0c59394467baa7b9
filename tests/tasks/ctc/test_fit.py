"""Transcripts against the frames of their recordings, with frames that are counted by hand."""

import pytest

from raysearch.errors import InputError
from raysearch.methods.settings import StudentSettings
from raysearch.tasks.ctc.fit import check_fit
from tests.corpora.made_up_corpora import corpus, cut

SLOW, FAST = (StudentSettings(front_end=kind).encoder() for kind in ("logmel-25hz", "logmel-50hz"))


def test_transcripts_that_fit_are_passed_over() -> None:
    # A second has 25 frames at 25 Hz, and "TOO" needs four: a blank stands between two equal symbols.
    assert check_fit("here", corpus([cut("a", text="TOO")]), "characters", [SLOW, FAST]) == []
    assert check_fit("here", corpus([cut("a", text="AB" * 12)]), "characters", [SLOW]) == []


def test_some_that_do_not_fit_are_counted_over_all_splits() -> None:
    found = check_fit("here", corpus([cut("a", text="TOO"), cut("b", text="AB" * 13)]), "characters", [SLOW, FAST])
    assert found == ["here: 3 of 6 transcripts have more characters than frames (25 Hz), first b: 26 in 25"]


def test_none_that_fits_is_refused_unless_another_encoder_has_frames_enough() -> None:
    long = corpus([cut("a", text="AB" * 15)])
    with pytest.raises(
        InputError, match=r"here: 3 of 3 transcripts have more characters than frames \(25 Hz\), .*30 in"
    ):
        check_fit("here", long, "characters", [SLOW])
    assert len(check_fit("here", long, "characters", [SLOW, FAST])) == 1


def test_phones_are_counted_as_phones_and_cuts_without_any_not_at_all() -> None:
    spoken = corpus([cut("a", phones=["AA", "B"] * 13), cut("b")])
    with pytest.raises(InputError, match="3 of 3 transcripts have more phones than frames"):
        check_fit("here", spoken, "phones", [SLOW])
