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
    ],
)
def test_teacher_document_then_its_kind(document, expected):
    assert TEACHER.validate_python(document) == expected


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"source": "train", "width": 250}, "multiple of student.heads = 4"),
        ({"source": "models/base", "depth": 2}, "depth: unknown key"),
        ({"source": "modelhub:base"}, "pattern"),
    ],
)
def test_teacher_document_when_wrong_then_refused(document, match):
    with pytest.raises(ValidationError, match=match):
        TEACHER.validate_python(document)
