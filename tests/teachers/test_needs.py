"""What teachers that are trained here need of their corpus."""

import pytest

from raysearch.errors import InputError
from raysearch.teachers.needs import check_teacher
from raysearch.teachers.settings import TrainedTeacher
from tests.corpora.made_up_corpora import corpus, cut


@pytest.mark.parametrize(
    ("method", "cuts", "fault"),
    [
        ("ctc", [cut("a")], "teacher.method: ctc: corpus made-up has no transcripts; expected some to train on"),
        ("ctc", [cut("a", text="AB" * 50)], "teacher.method: ctc: 3 of 3 transcripts have more characters than frames"),
        ("speaker", [cut("a"), cut("b")], "teacher.method: speaker: corpus made-up: split train: 0 speakers in 0 cuts"),
        ("hubert", [cut("a")], "teacher.clusters: 100; expected at most 25, the frames to train on"),
    ],
)
def test_corpus_that_lacks_it_is_refused(method, cuts, fault) -> None:
    with pytest.raises(InputError, match=f"^{fault}"):
        check_teacher(TrainedTeacher(method=method), corpus(cuts))


def test_corpus_that_has_it_is_taken() -> None:
    cuts = [cut(f"{who}{number}", text="GO", speaker=who, seconds=3.0) for who in "xy" for number in range(2)]
    for method in ("ctc", "speaker", "hubert"):
        assert check_teacher(TrainedTeacher(method=method), corpus(cuts)) == []
