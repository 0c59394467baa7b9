"""A model of labels or of slots as a file: the same log-probabilities, errors and MACs; its answer as text."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.reading import whole_cut
from raysearch.deploy.manifest import CHECKPOINT_NAME
from raysearch.deploy.runtime.transcribe import OnnxModel, transcribe
from raysearch.deploy.runtime.verify_speaker import verify_speaker
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import AnyConfig, Blocks, ConvConfig, EncoderConfig, LogMel, PositionConv
from raysearch.errors import InputError
from raysearch.exported.onnx_file import layout, onnx_name, to_onnx, trace, write_onnx
from raysearch.exported.runners import run_checkpoint
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import ChosenHead, FieldHeadConfig
from tests.deploy.shipping import assert_ships_its_checkpoint

CONV = ConvConfig(bins=16, channels=[4, 4, 4], width=16, range_db=40.0)
TRANSFORMER = EncoderConfig(
    front_end=LogMel(channels=[8, 8], centred=True),
    width=16,
    norm="pre",
    position_conv=PositionConv(kernel=4, groups=4),
    blocks=Blocks(count=2, heads=2, head_width=8, ffn=24),
)
LABELS = FieldHeadConfig(fields={"label": ["high", "low"]}, pooling="mean+max", segments=4, layers=2, width=16)
SLOTS = FieldHeadConfig(
    fields={"intent": ["order"], "size": ["", "large"], "roast": ["", "dark", "light"]},
    pooling="attention",
    layers=3,
    width=16,
)


def shipped(out: Path, encoder: AnyConfig, head: FieldHeadConfig) -> Path:
    """A checkpoint and its ONNX file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = head.build()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    recogniser = Recogniser(build_encoder(encoder).eval(), ChosenHead(head, module.eval(), None))
    recogniser.save(out / CHECKPOINT_NAME)
    write_onnx(to_onnx(trace(recogniser)), layout(recogniser), "fp32", out / onnx_name("fp32"))
    return out / onnx_name("fp32")


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    return shipped(tmp_path_factory.mktemp("labels"), CONV, LABELS)


@pytest.fixture(scope="module")
def slots(tmp_path_factory) -> Path:
    return shipped(tmp_path_factory.mktemp("slots"), TRANSFORMER, SLOTS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Cuts with a label, an intent and slots, one of which is absent in half of them."""
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    cuts = []
    for take in range(8):
        hz, samples = (3000, 200)[take % 2], 12_000 + 1_234 * take
        file = tone(folder / f"{take}.wav", samples / 16_000, hz, noise=rng)
        custom = {"label": ("high", "low")[take % 2], "intent": "order", "slots": {"roast": "dark"} if take > 3 else {}}
        cut = whole_cut(file.stem, file, samples, "a")
        cut.supervisions[0].custom = custom
        cuts.append(cut)
    return Corpus("tones", {"dev": CutSet.from_cuts(cuts)})


def tone(file: Path, seconds: float, hz: float, noise: np.random.Generator) -> Path:
    time_S = np.arange(round(16_000 * seconds)) / 16_000
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * hz * time_S) + 0.05 * noise.standard_normal(len(time_S)), 16_000)
    return file


@pytest.mark.parametrize(
    ("model", "task"),
    [pytest.param("labels", "classification", marks=pytest.mark.slow), ("slots", "intent")],
)
def test_exported_fields_are_their_checkpoint(model, task, corpus, request) -> None:
    out = request.getfixturevalue(model).parent
    assert_ships_its_checkpoint(out, corpus, task, "error", "error of 8 dev cuts")


def test_log_probabilities_then_each_field_adds_up_to_one(slots: Path) -> None:
    audio_BS = np.random.default_rng(0).standard_normal((1, 9_000)).astype(np.float32)
    (log_probs_V,), _ = OnnxModel(slots).run(audio_BS, np.array([9_000]))
    sums = [np.exp(part).sum() for part in np.split(log_probs_V, [1, 3])]
    assert sums == pytest.approx([1, 1, 1], abs=1e-5)


def test_head_in_the_model_reads_as_it_did_in_training(labels: Path) -> None:
    """The learner's path, which stacks cuts end to end, and the shipped one agree."""
    recogniser = Recogniser.load(labels.parent / CHECKPOINT_NAME)
    audio_BS, samples_B = torch.randn(2, 9_000), torch.tensor([9_000, 7_000])
    encoded = recogniser.encoder(audio_BS, samples_B)
    x_LBTD = torch.stack(encoded.hidden)
    x_LBTD = torch.nn.functional.layer_norm(x_LBTD, x_LBTD.shape[-1:])
    frames = encoded.frames_B.tolist()
    x_LND = torch.cat([x_LBTD[:, row, :count] for row, count in enumerate(frames)], dim=1)
    expected = recogniser.head.module(x_LND, frames).log_softmax(-1)
    found, _ = run_checkpoint(recogniser)(audio_BS.numpy(), samples_B.numpy())
    torch.testing.assert_close(torch.from_numpy(found), expected)


def test_answers_as_text(labels: Path, slots: Path, tmp_path: Path) -> None:
    file = tone(tmp_path / "a.wav", 1.0, 300, np.random.default_rng(0))
    (row,) = transcribe(labels, [file])
    assert row["text"] in ("high", "low")
    (row,) = transcribe(slots, [file])
    assert row["text"].startswith("intent=order")
    assert "=" in row["text"].split()[-1]
    with pytest.raises(InputError, match="reads fields; expected a speaker model"):
        verify_speaker(slots, file, file)


def test_long_recording_is_the_mean_of_its_windows(labels: Path) -> None:
    model, audio_S = OnnxModel(labels), np.random.default_rng(0).standard_normal(70 * 16_000).astype(np.float32)
    parts = np.array_split(audio_S, 3)
    means_V = np.mean([model.run(part[None].copy(), np.array([len(part)]))[0][0] for part in parts], axis=0)
    assert model.read(audio_S) == [LABELS.fields["label"][int(means_V.argmax())]]
