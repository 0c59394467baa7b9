"""The teacher's shape before it is there."""

import pytest

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.huggingface import export_huggingface
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


def test_shape_of_a_model_of_hugging_face_then_its_config_alone_tells_it(tmp_path) -> None:
    config = EncoderConfig(front_end=Waveform(), width=16, blocks=Blocks(count=1, heads=2, head_width=8, ffn=8))
    export_huggingface(Encoder(config), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert known_shape(ReadyTeacher(source=f"hf:{tmp_path}")) == config
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"^teacher\.source: .*config\.json: model_type: 'bert'; expected one of"):
        known_shape(ReadyTeacher(source=f"hf:{tmp_path}"))


def test_shape_of_weights_that_are_yet_to_be_imported_then_none() -> None:
    assert known_shape(ReadyTeacher(source="hf:somewhere")) is None
    assert known_shape(ReadyTeacher(source="torchaudio:WAVLM_BASE")) is None


def test_folder_that_is_not_there_then_input_error(tmp_path) -> None:
    with pytest.raises(InputError, match=r"teacher\.source: .*gone/config\.json: No such file"):
        known_shape(ReadyTeacher(source=str(tmp_path / "gone")))
