"""Which document means which teacher."""

import pytest
from pydantic import TypeAdapter, ValidationError

from raysearch.teachers.settings import ReadyTeacher, TeacherSettings, TrainedTeacher

TEACHER = TypeAdapter(TeacherSettings)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"source": "train", "depth": 2}, TrainedTeacher(depth=2)),
        ({}, TrainedTeacher()),
        ({"source": "torchaudio:HUBERT_BASE"}, ReadyTeacher(source="torchaudio:HUBERT_BASE")),
        ({"source": "models/base"}, ReadyTeacher(source="models/base")),
        ({"source": "hf:models/base"}, ReadyTeacher(source="hf:models/base")),
        ({"source": "fairseq:base.pt"}, ReadyTeacher(source="fairseq:base.pt")),
        ({"source": "hf:runs/12:30:00"}, ReadyTeacher(source="hf:runs/12:30:00")),
        ({"source": "/runs/12:30:00"}, ReadyTeacher(source="/runs/12:30:00")),
    ],
)
def test_teacher_document_then_its_kind(document, expected):
    assert TEACHER.validate_python(document) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:/a/12:30:00/x", "hf:/a/12:30:00/x"),
        ("fairseq:/a/12:30/x.pt", "fairseq:/a/12:30/x.pt"),
        ("/a/12:30:00", "/a/12:30:00"),
    ],
)
def test_colon_in_a_path_stays(source, expected):
    assert ReadyTeacher(source=source).source == expected


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"source": "train", "width": 250}, "multiple of student.heads = 4"),
        ({"source": "models/base", "depth": 2}, "depth: unknown key"),
        ({"source": "modelhub:base"}, "'modelhub:base'; expected a folder, or one of torchaudio, hf, fairseq before"),
        ({"source": "torchaudio:a b"}, "'torchaudio:a b'; expected the name of a bundle"),
        ({"source": "hf:"}, "'hf:'; expected a folder, or one of"),
        ({"source": "~nobody-here/base"}, "expected a user who has a home folder"),
        ({"source": "a" * 300}, r"aaa\.\.\.; expected a path that a file can have"),
        ({"source": "train", "width": 65536, "heads": 1024, "depth": 1000}, "expected at most 20,000 million"),
    ],
)
def test_teacher_document_when_wrong_then_refused(document, match):
    with pytest.raises(ValidationError, match=match):
        TEACHER.validate_python(document)
