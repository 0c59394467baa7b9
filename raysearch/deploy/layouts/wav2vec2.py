"""The layout `wav2vec2-ctc` of onnx-asr: waveform in, log-probabilities out, with `vocab.txt` and `config.json`.

It computes no features, so a model with any front end fits.
Source: istupakov/onnx-asr, src/onnx_asr/models/wav2vec2.py.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import torch

from raysearch.deploy.layouts.graphs import BlankedPadding
from raysearch.deploy.layouts.layout import FileLayout, Order, read_back, runtime_module, token_lines
from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ, Audio
from raysearch.errors import InputError
from raysearch.exported.measure import Hear
from raysearch.exported.onnx_file import layout, onnx_name, to_onnx, trace_module, write_graph
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import CtcHeadConfig

MODEL_TYPE = "wav2vec2-ctc"
SOURCE = "git+https://github.com/istupakov/onnx-asr"
"""Where the layout is to be had: no release up to 0.12.0 has it."""
CONFIG_NAME, VOCABULARY_NAME = "config.json", "vocab.txt"
INPUTS, OUTPUTS = ("input_values", "input_lengths"), ("logprobs",)
_EXAMPLE_SAMPLES = (16_000, 12_345)


def check(recogniser: Recogniser) -> None:
    """Raises: InputError if the model reads no text."""
    if not isinstance(recogniser.head.config, CtcHeadConfig):
        raise InputError(f"head.json: kind: {recogniser.head.config.kind}; expected ctc with --layout onnx-asr")
    token_lines(layout(recogniser))


def write(order: Order) -> None:
    """Writes `config.json`, `vocab.txt` and a model in each precision."""
    recogniser = order.recogniser
    config = recogniser.encoder.config
    order.say(f"tracing {config.depth} blocks of {config.width}")
    example = (torch.zeros(len(_EXAMPLE_SAMPLES), max(_EXAMPLE_SAMPLES)), torch.tensor(_EXAMPLE_SAMPLES))
    graph = to_onnx(trace_module(BlankedPadding(recogniser.model()).eval(), example), OUTPUTS, INPUTS)
    for precision in order.precisions:
        order.say(f"writing {onnx_name(precision)}")
        write_graph(graph, {}, precision, order.folder / onnx_name(precision))
    document = {"model_type": MODEL_TYPE, "subsampling_factor": config.hop_samples}
    (order.folder / CONFIG_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (order.folder / VOCABULARY_NAME).write_text(token_lines(layout(recogniser)), encoding="utf-8")


def hear(file: Path, recogniser: Recogniser) -> Hear:
    """The file in onnx-asr. It reads a recording of any length as a whole."""
    onnx_asr = runtime_module("onnx_asr", "onnx-asr", SOURCE)
    precision = file.stem.partition(".")[2]
    try:
        reader = onnx_asr.load_model(MODEL_TYPE, file.parent, quantization=precision or None).with_timestamps()
    except onnx_asr.utils.ModelNotSupportedError as err:
        version = importlib.metadata.version("onnx-asr")
        raise InputError(f"onnx-asr: {version}; expected one with {MODEL_TYPE}: pip install {SOURCE}") from err

    def heard(audio_S: Audio) -> list[str]:
        return [read_back(token) for token in reader.recognize(audio_S, sample_rate=SAMPLE_RATE_HZ).tokens]

    return heard


def usage(recogniser: Recogniser, file: str) -> str:
    """Python that reads a file with onnx-asr."""
    precision = file.split(".")[1]
    quantization = "" if precision == "onnx" else f', quantization="{precision}"'
    return f"""import onnx_asr

model = onnx_asr.load_model("{MODEL_TYPE}", "."{quantization})
print(model.recognize("speech.wav"))"""


WAV2VEC2 = FileLayout("onnx-asr", check, write, hear, usage)
