"""The layout of sherpa-onnx, which runs on phones, boards and in browsers: a model as it loads it, and `tokens.txt`.

A student that reads log-mel bins takes the place of a FireRedASR2 CTC model, whose features are ours: Kaldi's, 80 bins
from 20 Hz to 8 kHz, on samples of 16 bits, of frames that lie whole within the recording. One that reads samples takes
the place of an Omnilingual ASR CTC model, for which sherpa-onnx scales each recording to mean 0 and variance 1. A
speaker model takes the place of one of WeSpeaker, whose bins end at 7.6 kHz, of a recording that is mirrored.
Source: k2-fsa/sherpa-onnx, sherpa-onnx/csrc/offline-recognizer-ctc-impl.h and features.h; tried with version 2.0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raysearch.deploy.layouts.graphs import FromBins, OneByOne
from raysearch.deploy.layouts.layout import FileLayout, Order, read_back, runtime_module, token_lines
from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ, Audio
from raysearch.encoder.config import ConvConfig, EncoderConfig
from raysearch.errors import InputError
from raysearch.exported.measure import Hear
from raysearch.exported.onnx_file import layout, onnx_name, to_onnx, trace_module, write_graph
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import CtcHeadConfig, SpeakerHeadConfig

PACKAGE = "sherpa-onnx==2.0.1"
"""The version that the layout was tried with."""
TOKENS_NAME = "tokens.txt"
_BINS, _FRAMES = 80, (99, 80)


@dataclass(frozen=True)
class Kind:
    """How sherpa-onnx takes one kind of model."""

    front_end: Mapping[str, Any]
    """What it computes of the recording, as settings of the front end."""
    fits: str
    """Names of front ends that have these settings, as teachers and students of a search are given them."""
    graph: Callable[[Recogniser], tuple[nn.Module, tuple[Tensor, ...]]]
    """The model as it is called there, with an example of its inputs."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Callable[[Recogniser], Mapping[str, str]]
    hear: Callable[[Any, Path], Hear]
    """Loads a file. It is given the runtime's module, too."""
    usage: str


def _from_bins(recogniser: Recogniser) -> tuple[nn.Module, tuple[Tensor, ...]]:
    example = torch.zeros(len(_FRAMES), max(_FRAMES), _BINS), torch.tensor(_FRAMES)
    return FromBins(recogniser.model(), _config(recogniser).front_end), example


def _from_audio(recogniser: Recogniser) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model: Any = recogniser.model()
    # What sherpa-onnx has done already must not be done twice.
    model.encoder.front_end.normalise = False
    return OneByOne(model), (torch.zeros(2, SAMPLE_RATE_HZ),)


def _speaker_from_bins(recogniser: Recogniser) -> tuple[nn.Module, tuple[Tensor, ...]]:
    module, (x_BTM, _) = _from_bins(recogniser)
    return OneByOne(module), (x_BTM,)


def _ctc_metadata(recogniser: Recogniser) -> Mapping[str, str]:
    # The graph normalises the bins by itself, after what else it does to them. So nothing is left to do before it.
    return {
        "model_type": "fire-red-asr-2-ctc",
        "subsampling_factor": str(_config(recogniser).hop_samples // 160),
        "cmvn_mean": ",".join(["0"] * _BINS),
        "cmvn_inv_stddev": ",".join(["1"] * _BINS),
    }


def _speaker_metadata(recogniser: Recogniser) -> Mapping[str, str]:
    head = recogniser.head.config
    assert isinstance(head, SpeakerHeadConfig)
    return {
        "framework": "wespeaker",
        "language": "unknown",
        "output_dim": str(head.backend.embedding),
        "sample_rate": str(SAMPLE_RATE_HZ),
        # 0: samples are scaled to 16 bits before bins are computed.
        "normalize_samples": "0",
    }


def _reader(load: str) -> Callable[[Any, Path], Hear]:
    def hear(sherpa: Any, file: Path) -> Hear:
        model = getattr(sherpa.OfflineRecognizer, load)(model=str(file), tokens=str(file.with_name(TOKENS_NAME)))

        def heard(audio_S: Audio) -> list[str]:
            stream = model.create_stream()
            stream.accept_waveform(SAMPLE_RATE_HZ, audio_S)
            model.decode_stream(stream)
            return [read_back(token) for token in stream.result.tokens]

        return heard

    return hear


def _speaker(sherpa: Any, file: Path) -> Hear:
    model = sherpa.SpeakerEmbeddingExtractor(sherpa.SpeakerEmbeddingExtractorConfig(model=str(file)))

    def heard(audio_S: Audio) -> Audio:
        stream = model.create_stream()
        stream.accept_waveform(SAMPLE_RATE_HZ, audio_S)
        stream.input_finished()
        return np.array(model.compute(stream), dtype=np.float32)

    return heard


_READS = """import sherpa_onnx, soundfile

model = sherpa_onnx.OfflineRecognizer.{load}(model="model.onnx", tokens="tokens.txt")
samples, rate = soundfile.read("speech.wav", dtype="float32")
stream = model.create_stream()
stream.accept_waveform(rate, samples)
model.decode_stream(stream)
print(stream.result.text)"""
_EMBEDS = """import sherpa_onnx, soundfile

model = sherpa_onnx.SpeakerEmbeddingExtractor(sherpa_onnx.SpeakerEmbeddingExtractorConfig(model="model.onnx"))
samples, rate = soundfile.read("speech.wav", dtype="float32")
stream = model.create_stream()
stream.accept_waveform(rate, samples)
stream.input_finished()
print(model.compute(stream))  # of length 1: the product of two is their cosine"""
BINS, AUDIO = "from_fire_red_asr_ctc", "from_omnilingual_asr_ctc"
# By the kind of head and of front end.
KINDS: dict[tuple[str, str], Kind] = {
    ("ctc", "logmel"): Kind(
        front_end={"bins": _BINS, "highest_hz": 8_000, "mirrored": False},
        fits="logmel-25hz or logmel-50hz",
        graph=_from_bins,
        inputs=("x", "x_lens"),
        outputs=("log_probs", "log_probs_lens"),
        metadata=_ctc_metadata,
        hear=_reader(BINS),
        usage=_READS.format(load=BINS),
    ),
    ("ctc", "waveform"): Kind(
        front_end={"normalise": True},
        fits="waveform-scaled",
        graph=_from_audio,
        inputs=("x",),
        outputs=("log_probs",),
        metadata=lambda recogniser: {"model_type": "omnilingual-asr"},
        hear=_reader(AUDIO),
        usage=_READS.format(load=AUDIO),
    ),
    ("speaker", "logmel"): Kind(
        front_end={"bins": _BINS, "highest_hz": 7_600, "mirrored": True},
        fits="wespeaker-25hz",
        graph=_speaker_from_bins,
        inputs=("feats",),
        outputs=("embs",),
        metadata=_speaker_metadata,
        hear=_speaker,
        usage=_EMBEDS,
    ),
}


def check(recogniser: Recogniser) -> None:
    """Raises: InputError if sherpa-onnx has no such model, or does not compute the features that this one reads."""
    config, head = recogniser.encoder.config, recogniser.head.config
    front_end = "conv" if isinstance(config, ConvConfig) else config.front_end.kind
    kind = KINDS.get((head.kind, front_end))
    if kind is None:
        known = ", ".join(" over ".join(pair) for pair in KINDS)
        raise InputError(f"--layout: sherpa: {head.kind} over {front_end}; expected one of {known}")
    for name, expected in kind.front_end.items():
        got = getattr(_config(recogniser).front_end, name)
        if got != expected:
            raise InputError(
                f"config.json: front_end.{name}: {got}; expected {expected}, which is what sherpa-onnx computes: "
                f"train with front_end {kind.fits}"
            )
    if isinstance(head, CtcHeadConfig):
        token_lines(layout(recogniser))


def write(order: Order) -> None:
    """Writes a model in each precision, and `tokens.txt` for one that reads."""
    recogniser = order.recogniser
    kind = _kind(recogniser)
    order.say(f"tracing {recogniser.encoder.config.depth} blocks of {recogniser.encoder.config.width}")
    module, example = kind.graph(recogniser)
    model = to_onnx(trace_module(module.eval(), example), kind.outputs, kind.inputs)
    for precision in order.precisions:
        order.say(f"writing {onnx_name(precision)}")
        write_graph(model, kind.metadata(recogniser), precision, order.folder / onnx_name(precision))
    if isinstance(recogniser.head.config, CtcHeadConfig):
        (order.folder / TOKENS_NAME).write_text(token_lines(layout(recogniser)), encoding="utf-8")


def hear(file: Path, recogniser: Recogniser) -> Hear:
    """The file in sherpa-onnx. It reads a recording of any length as a whole."""
    return _kind(recogniser).hear(runtime_module("sherpa_onnx", "sherpa-onnx", PACKAGE), file)


def usage(recogniser: Recogniser, file: str) -> str:
    """Python that runs the model in sherpa-onnx."""
    return _kind(recogniser).usage.replace("model.onnx", file)


def _kind(recogniser: Recogniser) -> Kind:
    return KINDS[recogniser.head.config.kind, _config(recogniser).front_end.kind]


def _config(recogniser: Recogniser) -> EncoderConfig:
    config = recogniser.encoder.config
    assert isinstance(config, EncoderConfig), "others were refused"
    return config


SHERPA = FileLayout("sherpa-onnx", check, write, hear, usage)
