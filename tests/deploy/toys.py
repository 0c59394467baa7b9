"""Models of random weights that read or tell speakers apart, and what recordings of them there are to hear."""

from __future__ import annotations

import numpy as np
import torch

from raysearch.deploy.runtime.transcribe import Audio
from raysearch.encoder.config import Blocks, EncoderConfig, FrontEnd, PositionConv
from raysearch.encoder.encoder import Encoder
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.ctc.tokens import CtcHead
from raysearch.tasks.head import ChosenHead, CtcHeadConfig, SpeakerHeadConfig
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend import SpeakerBackend

WIDTH, DEPTH = 16, 1


def encoder_of(front_end: FrontEnd) -> Encoder:
    torch.manual_seed(0)
    blocks = Blocks(count=DEPTH, heads=2, head_width=8, ffn=24)
    config = EncoderConfig(
        front_end=front_end, width=WIDTH, norm="pre", position_conv=PositionConv(kernel=4, groups=4), blocks=blocks
    )
    return Encoder(config).eval()


def reader(front_end: FrontEnd, symbols: list[str], unit: str = "phones") -> Recogniser:
    """A model that reads something in nearly every frame, since no two of its tokens are alike."""
    encoder = encoder_of(front_end)
    head = CtcHead(DEPTH + 1, WIDTH, len(symbols) + 1)
    torch.nn.init.normal_(head.weight_VD)
    config = CtcHeadConfig(unit=unit, symbols=symbols, layers=DEPTH + 1, width=WIDTH)
    return Recogniser(encoder, ChosenHead(config, head.requires_grad_(False), None))


def speaker_model(front_end: FrontEnd) -> Recogniser:
    encoder, backend = encoder_of(front_end), BackendSettings(kind="linear", embedding=8)
    config = SpeakerHeadConfig(backend=backend, layers=DEPTH + 1, width=WIDTH, threshold=0.5)
    return Recogniser(encoder, ChosenHead(config, SpeakerBackend(backend, WIDTH, DEPTH + 1).eval(), None))


def recordings(*lengths: int) -> list[Audio]:
    """Tones that change ten times a second, in noise."""
    rng = np.random.default_rng(0)
    found = []
    for samples in lengths:
        steps = samples // 1600 + 1
        hz_S = np.repeat(rng.uniform(100, 4_000, steps), 1600)[:samples]
        level_S = np.repeat(rng.uniform(0, 0.4, steps), 1600)[:samples]
        tone_S = level_S * np.sin(2 * np.pi * np.cumsum(hz_S) / 16_000)
        found.append((tone_S + 0.003 * rng.standard_normal(samples)).astype(np.float32))
    return found
