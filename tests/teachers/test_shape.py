"""The teacher's shape before it is there."""

import pytest

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.published import PUBLISHED
from raysearch.errors import InputError
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher
from raysearch.teachers.shape import known_shape


def test_shape_then_from_settings_names_and_folders(small_teacher, tmp_path) -> None:
    assert known_shape(TrainedTeacher(depth=2)) == TrainedTeacher(depth=2).encoder()
    assert known_shape(ReadyTeacher(source="torchaudio:HUBERT_BASE")) == PUBLISHED["HUBERT_BASE"]
    save_encoder(small_teacher.encoder, tmp_path)
    assert known_shape(ReadyTeacher(source=str(tmp_path))) == small_teacher.encoder.config
    colon = tmp_path / "12:30:00"
    save_encoder(small_teacher.encoder, colon)
    assert known_shape(ReadyTeacher(source=str(colon))) == small_teacher.encoder.config


def test_shape_of_weights_that_are_yet_to_be_imported_then_none() -> None:
    assert known_shape(ReadyTeacher(source="hf:somewhere")) is None
    assert known_shape(ReadyTeacher(source="torchaudio:WAVLM_BASE")) is None


def test_folder_that_is_not_there_then_input_error(tmp_path) -> None:
    with pytest.raises(InputError, match=r"teacher\.source: .*gone/config\.json: No such file"):
        known_shape(ReadyTeacher(source=str(tmp_path / "gone")))
