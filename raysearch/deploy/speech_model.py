"""A student and its head as one module: waveform in, log-probabilities or an embedding of the speaker out.

Shapes: B recordings, S samples, L layers, T frames, N frames of all recordings end to end, D width, V tokens or
values, E width of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import remove_parametrizations

from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.conv_encoder import ConvEncoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.errors import InputError
from raysearch.tasks.fields.head import FieldHead
from raysearch.tasks.head import ChosenHead, SpeakerHeadConfig, head_folder, load_head


class SpeechModel(nn.Module):
    """Non-streaming: every frame sees the whole recording."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T, V), and the valid frames of each row (B)."""
        encoded = self.encoder(audio_BS, samples_B)
        logits_NV = self.head(encoded.normalised_LBTD.flatten(1, 2))
        return logits_NV.unflatten(0, encoded.output_BTD.shape[:2]).log_softmax(-1), encoded.frames_B


class SpeakerModel(nn.Module):
    """The recordings of a batch must be equally long: padding would be heard."""

    def __init__(self, encoder: Encoder, backend: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.backend = backend

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, E) of length 1, and the frames of each row (B)."""
        encoded = self.encoder(audio_BS, samples_B)
        return F.normalize(self.backend(encoded)), encoded.frames_B


class FieldModel(nn.Module):
    """Reads what is asked of a whole recording: each field's values, field after field."""

    def __init__(self, encoder: Encoder, head: FieldHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, V), each field's own, and the frames of each row (B)."""
        encoded = self.encoder(audio_BS, samples_B)
        x_BTD = torch.einsum("l,lbtd->btd", self.head.mix_L.softmax(0), encoded.normalised_LBTD)
        return self.head.log_probs(self.head.read(x_BTD, encoded.frames_B)), encoded.frames_B


@dataclass(frozen=True)
class Recogniser:
    """A trial's encoder with the head of one task, ready to be exported."""

    encoder: Encoder
    head: ChosenHead

    @classmethod
    def of_trial(cls, trial: Path, task: str) -> Recogniser:
        """Raises: InputError if the trial has no student, no head for this task, or either is damaged."""
        if not (trial / "student").is_dir():
            raise InputError(f"{trial / 'student'}: no such folder; expected a trial that reached a rung")
        head = load_head(head_folder(trial, task))
        return cls._checked(load_encoder(trial / "student") if head.tuned is None else head.tuned, head, trial)

    @classmethod
    def load(cls, folder: Path) -> Recogniser:
        """What `save` wrote."""
        head = load_head(folder)
        assert head.tuned is not None, "an exported checkpoint holds its encoder"
        return cls._checked(head.tuned, head, folder)

    @classmethod
    def _checked(cls, encoder: Encoder, head: ChosenHead, where: Path) -> Recogniser:
        got = (head.config.layers, head.config.width)
        expected = (encoder.config.depth + 1, encoder.config.width)
        if got != expected:
            raise InputError(f"{where}: head of {got} layers and width; expected {expected}, the encoder's")
        return cls(encoder.eval().requires_grad_(False), head)

    def save(self, folder: Path) -> None:
        """`config.json`, `model.safetensors`, `head.json`, `head.safetensors`."""
        save_encoder(self.encoder, folder)
        ChosenHead(self.head.config, self.head.module, None).save(folder)

    def model(self) -> SpeechModel | SpeakerModel | FieldModel:
        """For inference: the position convolution's normalised weight is one tensor, worked out once."""
        # Built anew: a deep copy shares its parametrised class with the original, which would lose its weight.
        encoder = build_encoder(self.encoder.config)
        encoder.load_state_dict(self.encoder.state_dict())
        if not isinstance(encoder, ConvEncoder):
            remove_parametrizations(encoder.position_conv.conv, "weight")
        head = self.head.module
        if isinstance(head, FieldHead):
            return FieldModel(encoder, head).eval().requires_grad_(False)
        kind = SpeakerModel if isinstance(self.head.config, SpeakerHeadConfig) else SpeechModel
        return kind(encoder, head).eval().requires_grad_(False)

    @property
    def min_samples(self) -> int:
        """Samples of the shortest recording that gives a frame."""
        return next(n for n in range(1, 1 << 20) if frames(self.encoder.config, n) > 0)

    @property
    def equal_lengths(self) -> bool:
        """Whether recordings of one batch must be equally long: padding changes what GroupNorm over time sees, and
        what is pooled into an embedding."""
        if isinstance(self.head.config, SpeakerHeadConfig):
            return True
        return not self.encoder.config.pads_freely
