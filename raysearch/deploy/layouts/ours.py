"""Our own layout: waveform in, whatever the front end is, as ONNX with its meaning in it, or as a PyTorch program."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from raysearch.deploy.layouts.layout import FileLayout, Order
from raysearch.exported.measure import Hear, hearing
from raysearch.exported.onnx_file import graph_of, layout, onnx_name, trace, write_onnx, write_pt2
from raysearch.exported.runners import run_file
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser


def write(order: Order) -> None:
    """Writes the formats that hold a traced graph. All come from one trace, so that they compute the same."""
    if not {"onnx", "pt2"} & set(order.formats):
        return
    config = order.recogniser.encoder.config
    order.say(f"tracing {config.depth} blocks of {config.width}")
    program = trace(order.recogniser)
    if "pt2" in order.formats:
        order.say("writing model.pt2")
        write_pt2(program, order.folder / "model.pt2")
    if "onnx" in order.formats:
        meaning = layout(order.recogniser)
        model = graph_of(order.recogniser, program)
        for precision in order.precisions:
            order.say(f"writing {onnx_name(precision)}")
            write_onnx(model, meaning, precision, order.folder / onnx_name(precision), order.calibration)


def hear(file: Path, recogniser: Recogniser) -> Hear:
    """The file, run by onnxruntime or PyTorch."""
    return hearing(run_file(file), layout(recogniser))


def usage(recogniser: Recogniser, file: str) -> str:
    """Python that runs the model without torch, or where there is no ONNX file loads its encoder."""
    if not file.endswith(".onnx"):
        call = 'raysearch.load_encoder("checkpoint")'
    elif layout(recogniser).unit == "speaker":
        call = f'raysearch.verify_speaker("{file}", "one.wav", "other.wav")'
    else:
        call = f'raysearch.transcribe("{file}", ["speech.wav"])'
    return f"import raysearch\n\nprint({call})"


OURS = FileLayout(
    *("onnxruntime", lambda recogniser: None, write, hear, usage),
    formats=("onnx", "pt2", "safetensors"),
    precisions=get_args(Precision),
)
