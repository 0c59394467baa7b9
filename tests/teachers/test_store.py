"""Teachers: trained once, frozen when loaded, refused in one line when they are not there."""

import json
import re
from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchaudio import pipelines

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.huggingface import export_huggingface
from raysearch.errors import InputError
from raysearch.targets.store import FolderStore
from raysearch.teachers.loading import load_teacher
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher
from raysearch.teachers.store import find_teacher, prepare_teacher

torch.set_num_threads(1)

CPU = torch.device("cpu")
SHAPE = {"depth": 2, "width": 16, "heads": 2, "channels": 16, "position_kernel": 3, "batch_s": 10.0}


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "teachers")


def test_ctc_teacher_then_learns_the_tones_and_says_its_errors(tones, store):
    settings = TrainedTeacher(method="ctc", updates=150, lr=3e-3, **SHAPE)
    folder = prepare_teacher(settings, tones, store, CPU)
    document = json.loads((folder / "teacher.json").read_text())
    assert document["updates"] == 150
    assert document["seconds"] > 0
    teacher = load_teacher(folder, CPU)
    assert teacher.metrics.keys() == {"eval/per", "test/per"}
    assert teacher.metrics["eval/per"] < 80  # of what reads nothing it is 100
    assert sorted(path.name for path in folder.iterdir()) == [
        "complete",
        "config.json",
        "head.json",
        "head.safetensors",
        "model.safetensors",
        "teacher.json",
    ]


def test_hubert_teacher_then_two_iterations_leave_one_encoder(tones, store):
    settings = TrainedTeacher(method="hubert", updates=3, clusters=8, **SHAPE)
    folder = prepare_teacher(settings, tones, store, CPU)
    assert json.loads((folder / "teacher.json").read_text())["updates"] == 6
    assert load_teacher(folder, CPU).encoder.config == settings.encoder()


def test_teacher_twice_then_it_is_trained_once_and_its_key_follows_its_weights(tones, store):
    settings = TrainedTeacher(updates=1, **SHAPE)
    one = load_teacher(prepare_teacher(settings, tones, store, CPU), CPU)
    two = load_teacher(prepare_teacher(settings, tones, store, CPU), CPU)
    assert len(store.ls()) == 1
    assert one.key == two.key
    other = prepare_teacher(settings.model_copy(update={"seed": 1}), tones, store, CPU)
    assert load_teacher(other, CPU).key != one.key


def test_teacher_when_loaded_then_frozen_and_repeatable(small_teacher, tmp_path):
    save_encoder(small_teacher.encoder, tmp_path)
    folder = prepare_teacher(ReadyTeacher(source=str(tmp_path)), None, None, CPU)
    teacher = load_teacher(folder, CPU)
    assert not teacher.encoder.training
    assert not any(parameter.requires_grad for parameter in teacher.encoder.parameters())
    audio_BS, samples_B = torch.randn(1, 8000), torch.tensor([8000])
    one, two = (teacher.encoder(audio_BS, samples_B).output_BTD for _ in range(2))
    assert torch.equal(one, two)


def test_teacher_from_a_folder_without_weights_then_input_error(tmp_path, tones, store):
    with pytest.raises(InputError, match=r"teacher\.source: .*; expected a folder with config\.json"):
        prepare_teacher(ReadyTeacher(source=str(tmp_path)), tones, store, CPU)


def test_teacher_of_ours_that_is_damaged_then_input_error_before_any_trial(small_teacher, tmp_path):
    save_encoder(small_teacher.encoder, tmp_path)
    for content, told in (('{"metrics": 3}', "metrics: 3; expected a mapping"), ("{", "no JSON (")):
        (tmp_path / "teacher.json").write_text(content)
        with pytest.raises(InputError, match=rf"teacher\.json: {re.escape(told)}"):
            load_teacher(tmp_path, CPU)
    encoder = small_teacher.encoder
    weight = next(iter(encoder.state_dict()))
    broken = {key: torch.full_like(tensor, torch.nan) for key, tensor in encoder.state_dict().items() if key == weight}
    save_file(encoder.state_dict() | broken, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=rf"teacher\.source: .*model\.safetensors: {re.escape(weight)}: NaN or infin"):
        find_teacher(ReadyTeacher(source=str(tmp_path)), None, None)


def test_teacher_from_an_unknown_bundle_then_input_error(tones, store):
    with pytest.raises(InputError, match=r"torchaudio:HUBERT_HUGEST; expected a bundle"):
        prepare_teacher(ReadyTeacher(source="torchaudio:HUBERT_HUGEST"), tones, store, CPU)


def test_teacher_from_a_bundle_without_a_network_then_input_error(tones, store, monkeypatch):
    def refuse(self, **how):
        raise URLError("no network")

    monkeypatch.setattr(pipelines.Wav2Vec2Bundle, "get_model", refuse)
    with pytest.raises(InputError, match=r"HUBERT_BASE; expected its weights to be .*no network"):
        prepare_teacher(ReadyTeacher(source="torchaudio:HUBERT_BASE"), tones, store, CPU)


def test_teacher_from_transformers_then_imported_once_and_anew_when_its_files_change(tmp_path, store):
    encoder = Encoder(
        EncoderConfig(front_end=Waveform(), width=16, blocks=Blocks(count=1, heads=2, head_width=8, ffn=8))
    )
    export_huggingface(encoder, tmp_path / "theirs")
    settings = ReadyTeacher(source=f"hf:{tmp_path / 'theirs'}")
    one = load_teacher(prepare_teacher(settings, None, store, CPU), CPU)
    assert all(torch.equal(tensor, one.encoder.state_dict()[key]) for key, tensor in encoder.state_dict().items())
    assert not (prepare_teacher(settings, None, store, CPU) / "head.json").exists()
    assert load_teacher(prepare_teacher(settings, None, store, CPU), CPU).key == one.key
    assert len(store.ls()) == 1
    with torch.no_grad():
        encoder.projection.weight.zero_()
    export_huggingface(encoder, tmp_path / "theirs")
    assert load_teacher(prepare_teacher(settings, None, store, CPU), CPU).key != one.key


@pytest.mark.parametrize("source", ["hf:nowhere", "fairseq:nowhere.pt"])
def test_teacher_from_no_file_then_input_error(source, tones, store):
    with pytest.raises(InputError, match=r"teacher\.source: .*nowhere.*; expected a f"):
        prepare_teacher(ReadyTeacher(source=source), tones, store, CPU)


def test_speaker_teacher_then_learns_who_speaks_and_says_its_errors(tones, store):
    settings = TrainedTeacher(method="speaker", updates=3, lr=1e-3, **SHAPE)
    # The test split has no two cuts of one speaker.
    corpus = replace(tones, splits={split: tones.splits[split] for split in ("train", "dev")})
    folder = prepare_teacher(settings, corpus, store, CPU)
    teacher = load_teacher(folder, CPU)
    assert teacher.metrics.keys() == {"eval/eer", "eval/eer_low", "eval/eer_high"}
    assert teacher.encoder.config == settings.encoder()
    with pytest.raises(InputError, match="task speaker: corpus tones: split test: 2 speakers in 2 cuts"):
        prepare_teacher(settings, tones, FolderStore(store.folder.parent / "other"), CPU)
