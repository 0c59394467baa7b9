"""The file of a student that is not trained yet: it is as large, and as fast, as that of the trained one will be.

Neither depends on weights. So what a device charges for a shape is known before a trial of it is paid for.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import AnyConfig
from raysearch.exported.onnx_file import graph_of, layout, write_onnx
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.files.digest import document_digest
from raysearch.tasks.head import ChosenHead, HeadConfig

WRITTEN = 3
"""How files are written. It gets a new number when the same shape becomes a file of another size or speed."""


def fitted(head: HeadConfig, encoder: AnyConfig) -> HeadConfig:
    """The same head for an encoder of another shape."""
    return head.model_copy(update={"layers": encoder.depth + 1, "width": encoder.width})


def shape_digest(encoder: AnyConfig, head: HeadConfig, precision: Precision) -> str:
    """The digest of all that decides what is in the file: the encoder, the head with its symbols, and the precision."""
    parts = [WRITTEN, encoder.model_dump(mode="json"), fitted(head, encoder).model_dump(mode="json"), precision]
    return document_digest(parts)


def untrained(encoder: AnyConfig, head: HeadConfig) -> Recogniser:
    """A student of this shape under this head, both with weights that were drawn."""
    own = fitted(head, encoder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        student, module = build_encoder(encoder), own.build()
        # The exporter writes equal tensors once, and new norms are all ones. Trained ones differ.
        for parameter in (*student.parameters(), *module.parameters()):
            parameter.add_(0.01 * torch.randn_like(parameter))
    return Recogniser(student.eval().requires_grad_(False), ChosenHead(own, module.eval(), None))


def untrained_file(encoder: AnyConfig, head: HeadConfig, precision: Precision) -> bytes:
    """The ONNX file of such a student."""
    recogniser = untrained(encoder, head)
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        # Scales are as large whatever was heard for them.
        noise_S = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE_HZ).astype(np.float32)
        write_onnx(graph_of(recogniser), layout(recogniser), precision, file, lambda: [noise_S])
        return file.read_bytes()
