"""Writes models with weights of 8 bits: `int8`, whose linear layers find their scales as they run, and `int8-static`.

The scales of the latter come from training speech, and each column of a weight has its own. `int8-static-conv` has such
scales in convolutions too.

Weights take the whole numbers from -64 to 64 alone. A processor without an instruction for dot products of 8 bits (AVX2
without VNNI) adds up two products in 16 bits, which overflow with larger ones, and the file would read nonsense there.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.runtime.transcribe import Audio, Layout
from raysearch.exported.onnx_cost import UNCOUNTED, in_module

CALIBRATION_CUTS = 48
"""Training cuts whose ranges the scales of `int8-static` are taken from."""
LONGEST_SAMPLES = 10 * 16_000
"""Samples of a cut that are heard at most: a range needs no more."""


Calibration = Callable[[], Sequence[Audio]]
"""Function that gives the speech whose ranges are taken."""


def calibration_speech(corpus: Corpus, layout: Layout) -> list[Audio]:
    """Some of the training cuts, the same whenever it is asked for, and none too short for the model."""
    cuts = list(corpus.splits["train"])
    # Every n-th cut rather than the first ones, so that many speakers are heard.
    chosen = cuts[:: -(-len(cuts) // CALIBRATION_CUTS)]
    heard = [corpus.audio.audio(cut)[:LONGEST_SAMPLES] for cut in chosen]
    return [np.resize(audio_S, max(len(audio_S), layout.min_samples)) for audio_S in heard]


def dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in `int8`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _files(model) as (source, target):
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            reduce_range=True,
            nodes_to_exclude=_exact(model),
        )
        return onnx.load(target)


def static(model: onnx.ModelProto, calibration: Calibration, kinds: Sequence[str]) -> onnx.ModelProto:
    """The model with static scales in operations of these kinds. Its inputs must be waveforms and their samples."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _files(model) as (source, target):
        quantize_static(
            source,
            target,
            _Reader([one.name for one in model.graph.input], calibration()),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(kinds),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            nodes_to_exclude=_exact(model),
            # What leaves an operation stays in floats: it is added up, or normalised, next.
            extra_options={"OpTypesToExcludeOutputQuantization": list(kinds)},
        )
        return onnx.load(target)


class _Reader:
    """The recordings in the form in which onnxruntime asks for them: one by one, and then None."""

    def __init__(self, inputs: Sequence[str], recordings: Sequence[Audio]) -> None:
        audio, samples = inputs
        self._rows = iter([{audio: audio_S[None], samples: np.array([len(audio_S)])} for audio_S in recordings])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._rows, None)


def _exact(model: onnx.ModelProto) -> list[str]:
    """Nodes that stay in fp32: spectra of 16-bit samples, and statistics over frames, need more than 8 bits."""
    return [node.name for node in model.graph.node if in_module(node, *UNCOUNTED)]


@contextmanager
def _files(model: onnx.ModelProto) -> Iterator[tuple[Path, Path]]:
    """A file of the model, and the name of one to write: onnxruntime's quantisers read and write files."""
    with TemporaryDirectory() as folder, quiet():
        source = Path(folder, "fp32.onnx")
        stale = onnx.ModelProto()
        stale.CopyFrom(model)
        # These shapes were noted before weights were transposed: the quantiser would stumble, and infers its own.
        del stale.graph.value_info[:]
        onnx.save(stale, source)
        yield source, Path(folder, "int8.onnx")


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the exporters, which warn of packages that are not needed and of their own deprecations."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
