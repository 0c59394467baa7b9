"""Cuts whose frames spell their symbols out, and an encoder that shows them: a linear head reads it all."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from lhotse import Recording, SupervisionSegment
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv

HOP = 640
PHONES = ("AA", "B", "K", "S")


class Shown(NamedTuple):
    output_BTD: Tensor
    hidden: tuple[Tensor, ...]
    frames_B: Tensor


class FrameReader(nn.Module):
    """Stands in for an encoder: layer 0 is noise of the frame, layer 1 holds the symbol at full strength."""

    def __init__(self) -> None:
        super().__init__()
        self.config = EncoderConfig(
            front_end=LogMel(),
            width=16,
            position_conv=PositionConv(kernel=3, groups=16),
            blocks=Blocks(count=1, heads=1, head_width=16, ffn=16),
        )
        self.weight_DD = nn.Parameter(torch.eye(16))
        self.seen: list[int] = []

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Shown:
        frames_B = samples_B // HOP
        self.seen += samples_B.tolist()
        frames_BTH = audio_BS[:, : int(frames_B.max()) * HOP].unflatten(1, (-1, HOP))
        output_BTD = frames_BTH[..., :16] @ self.weight_DD
        return Shown(output_BTD, (frames_BTH[..., 16:32], output_BTD), frames_B)


def spell(phones: list[str], rng: np.random.Generator) -> np.ndarray:
    """One frame a phone, one between any two, and one of another kind at each end; marks are large beside the noise."""
    frames = 0.01 * rng.standard_normal((2 * len(phones) + 1, HOP)).astype(np.float32)
    frames[2:-1:2, 15] = 0.5
    frames[[0, -1], 13] = 0.5
    for i, phone in enumerate(phones):
        frames[2 * i + 1, PHONES.index(phone) if phone in PHONES else 14] = 0.5
    return frames.reshape(-1)


def make_cut(folder: Path, name: str, phones: list[str] | None, text: str | None, audio: np.ndarray) -> MonoCut:
    path = folder / f"{name}.wav"
    soundfile.write(path, audio, 16_000)
    recording = Recording.from_file(path, recording_id=name)
    cut: MonoCut = recording.to_cut()
    custom = None if phones is None else {"phones": phones}
    supervision = SupervisionSegment(name, name, 0.0, cut.duration, text=text, speaker="s", custom=custom)
    cut.id = name
    cut.supervisions = [supervision]
    return cut
