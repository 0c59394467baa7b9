"""A speaker model as a file: the same embeddings, error and MACs, and a verb that compares two voices."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from lhotse import CutSet

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.reading import whole_cut
from raysearch.deploy.manifest import CHECKPOINT_NAME
from raysearch.deploy.runtime.transcribe import OnnxModel, transcribe
from raysearch.deploy.runtime.verify_speaker import embedding, verify_speaker
from raysearch.encoder.config import Adapter, Blocks, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.exported.onnx_cost import graph_macs
from raysearch.exported.onnx_file import layout, onnx_name, to_onnx, trace, write_onnx
from raysearch.exported.runners import run_checkpoint
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import ChosenHead, SpeakerHeadConfig
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.tasks.speaker.backend_cost import backend_macs, fewest_samples
from tests.deploy.lacking import HEAVY, raysearch_without
from tests.deploy.shipping import assert_ships_its_checkpoint

FRONT_ENDS = {"logmel": LogMel(channels=[8, 8]), "base": Waveform(channels=[8] * 7)}


def recogniser_of(front_end: str, backend: BackendSettings) -> Recogniser:
    torch.manual_seed(0)
    config = EncoderConfig(
        front_end=FRONT_ENDS[front_end],
        width=16,
        norm="pre",
        position_conv=PositionConv(kernel=4, groups=4),
        blocks=Blocks(count=2, heads=2, head_width=8, ffn=24, adapter=Adapter(width=4, scale=0.5)),
    )
    encoder = Encoder(config)
    for block in encoder.blocks:
        torch.nn.init.normal_(block.adapter.up.weight)
    head = SpeakerHeadConfig(backend=backend, layers=3, width=16, threshold=0.5)
    module = SpeakerBackend(backend, 16, 3).eval()
    return Recogniser(encoder.eval(), ChosenHead(head, module, None))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    folder, rng = tmp_path_factory.mktemp("voices"), np.random.default_rng(0)
    cuts = []
    for speaker, hz in (("a", 200), ("b", 900), ("c", 2500)):
        for take in range(3):
            audio_S = 0.3 * np.sin(2 * np.pi * hz * np.arange(12_000 + 1_234 * take) / 16_000)
            file = folder / f"{speaker}{take}.wav"
            soundfile.write(file, audio_S + 0.05 * rng.standard_normal(len(audio_S)), 16_000)
            cuts.append(whole_cut(file.stem, file, len(audio_S), speaker))
    return Corpus("voices", {"dev": CutSet.from_cuts(cuts)})


def shipped(out: Path, front_end: str, backend: BackendSettings) -> Path:
    """A checkpoint and its ONNX file."""
    torch.set_num_threads(1)
    recogniser = recogniser_of(front_end, backend)
    recogniser.save(out / CHECKPOINT_NAME)
    write_onnx(to_onnx(trace(recogniser), ("embedding", "frames")), layout(recogniser), "fp32", out / onnx_name("fp32"))
    return out / onnx_name("fp32")


@pytest.mark.slow
def test_x_vector_as_a_file_gives_what_the_checkpoint_gives(tmp_path: Path) -> None:
    backend = BackendSettings(kind="xvector", channels=16, embedding=8, layers="sum")
    file = shipped(tmp_path, "logmel", backend)
    recogniser = Recogniser.load(tmp_path / CHECKPOINT_NAME)
    assert recogniser.min_samples == fewest_samples(recogniser.encoder.config, 15)
    found = graph_macs(onnx.load(file), 16_000)
    assert found.head == backend_macs(backend, recogniser.encoder.config, 16_000)
    audio_BS = 0.1 * np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32)
    for samples in (recogniser.min_samples, 16_000):
        given = audio_BS[:, :samples].copy(), np.full(2, samples)
        expected_BE, _ = run_checkpoint(recogniser)(*given)
        np.testing.assert_allclose(OnnxModel(file).run(*given)[0], expected_BE, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return shipped(tmp_path_factory.mktemp("model"), "logmel", BackendSettings(channels=16, embedding=8))


def test_exported_ecapa_is_its_checkpoint(model: Path, corpus) -> None:
    assert_ships_its_checkpoint(model.parent, corpus, "speaker", "eer", "eer of 9 dev cuts")


@pytest.mark.slow
def test_exported_linear_back_end_of_all_layers_is_its_checkpoint(corpus, tmp_path: Path) -> None:
    shipped(tmp_path, "base", BackendSettings(kind="linear", embedding=8, layers="sum"))
    assert_ships_its_checkpoint(tmp_path, corpus, "speaker", "eer", "eer of 9 dev cuts")


def voice(file: Path, seconds: float, hz: float = 300) -> Path:
    time_S = np.arange(round(16_000 * seconds)) / 16_000
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * hz * time_S), 16_000)
    return file


def test_recording_is_like_itself_and_unlike_others(model: Path, tmp_path: Path) -> None:
    one, other = voice(tmp_path / "a.wav", 1.0), voice(tmp_path / "b.wav", 1.0, hz=3_000)
    itself, apart = verify_speaker(model, one, one), verify_speaker(model, one, other)
    assert itself["score"] == pytest.approx(1.0, abs=1e-5)
    assert (itself["same"], itself["threshold"]) == (True, 0.5)
    assert apart["score"] < 0.999


def test_long_recording_is_heard_in_windows(model: Path, tmp_path: Path) -> None:
    loaded, audio_S = OnnxModel(model), np.random.default_rng(0).standard_normal(70 * 16_000).astype(np.float32)
    heard = [embedding(loaded.run, loaded.layout, part) for part in np.array_split(audio_S, 3)]
    mean = np.mean(heard, axis=0)
    whole = embedding(loaded.run, loaded.layout, audio_S)
    assert whole == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_verb_needs_no_torch_and_prints_one_document(model: Path, tmp_path: Path) -> None:
    one = voice(tmp_path / "a.wav", 1.0)
    assert json.loads(raysearch_without(HEAVY, "verify-speaker", model, one, one, "--json"))["same"] is True


def test_too_short_and_wrong_kind_are_refused_by_name(model: Path, exported: Path, tmp_path: Path) -> None:
    one, short = voice(tmp_path / "a.wav", 1.0), voice(tmp_path / "short.wav", 0.01)
    with pytest.raises(InputError, match=r"short\.wav: 160 samples; expected at least 400"):
        verify_speaker(model, one, short)
    with pytest.raises(InputError, match=r"missing\.wav: no such file; expected a file of 16 kHz mono audio"):
        verify_speaker(model, tmp_path / "missing.wav", one)
    with pytest.raises(InputError, match="reads phones; expected a speaker model"):
        verify_speaker(exported / "model.onnx", one, one)
    with pytest.raises(InputError, match="tells speakers apart; expected a model that reads"):
        transcribe(model, [one])
