"""Joins a student and its head into one module, as it is exported: waveform in, log-probabilities or embedding out.

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
from raysearch.errors import InputError
from raysearch.exported.both_ways import traceable
from raysearch.tasks.ctc.superb_heads import RecurrentHead
from raysearch.tasks.ctc.tokens import OutputHead
from raysearch.tasks.fields.head import FieldHead
from raysearch.tasks.head import ChosenHead, SpeakerHeadConfig, head_folder, load_head
from raysearch.tasks.speaker.backend_cost import fewest_samples, shortest


class SpeechModel(nn.Module):
    """An encoder with a CTC head, which reads a token in each frame.

    It cannot stream, since every frame sees the whole recording.
    """

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T, V) and the number of valid frames of each row (B)."""
        encoded = self.encoder(audio_BS, samples_B)
        if isinstance(self.head, RecurrentHead):
            x_BTD = torch.einsum("l,lbtd->btd", self.head.mix_L.softmax(0), encoded.normalised_LBTD)
            return self.head.rows(x_BTD, encoded.frames_B).log_softmax(-1), encoded.frames_B
        reads_output = isinstance(self.head, OutputHead)
        states_LBTD = encoded.output_BTD[None] if reads_output else encoded.normalised_LBTD
        logits_NV = self.head(states_LBTD.flatten(1, 2))
        return logits_NV.unflatten(0, encoded.output_BTD.shape[:2]).log_softmax(-1), encoded.frames_B


class SpeakerModel(nn.Module):
    """An encoder with a speaker back end, which turns a recording into one embedding.

    The recordings of a batch must be equally long, since padding would change the embedding.
    """

    def __init__(self, encoder: Encoder, backend: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.backend = backend

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, E) of length 1, and the number of frames of each row (B)."""
        encoded = self.encoder(audio_BS, samples_B)
        return F.normalize(self.backend(encoded)), encoded.frames_B


class FieldModel(nn.Module):
    """An encoder with a head that reads fields of a whole recording, such as its label or its intent and slots.

    The outputs hold the values of one field after the other.
    """

    def __init__(self, encoder: Encoder, head: FieldHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, V), normalised within each field, and the number of frames of each row (B)."""
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
        """The student and head that lie in a trial's folder.

        Raises: InputError if the trial has no student, no head for this task, or either is damaged.
        """
        if not (trial / "student").is_dir():
            raise InputError(f"{trial / 'student'}: no such folder; expected a trial that reached a rung")
        head = load_head(head_folder(trial, task))
        return cls.joined(load_encoder(trial / "student"), head, trial)

    @classmethod
    def joined(cls, student: Encoder, head: ChosenHead, trial: Path) -> Recogniser:
        """A trial's student with a head of that trial, or the encoder that was tuned with the head."""
        return cls._checked(student if head.tuned is None else head.tuned, head, trial)

    @classmethod
    def load(cls, folder: Path) -> Recogniser:
        """The recogniser that `save` wrote to `folder`."""
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
        """Writes `config.json`, `model.safetensors`, `head.json` and `head.safetensors`."""
        save_encoder(self.encoder, folder)
        ChosenHead(self.head.config, self.head.module, None).save(folder)

    def model(self) -> SpeechModel | SpeakerModel | FieldModel:
        """The module for inference, in which the normalised weight of the position convolution is worked out once, and
        which can be traced.
        """
        # Not a deep copy: that would share its parametrised class with the original, which would lose its weight.
        encoder = build_encoder(self.encoder.config)
        encoder.load_state_dict(self.encoder.state_dict())
        if not isinstance(encoder, ConvEncoder) and encoder.config.position_conv:
            remove_parametrizations(encoder.position_conv.conv, "weight")
        head = self.head.module
        if isinstance(head, FieldHead):
            return FieldModel(encoder, head).eval().requires_grad_(False)
        kind = SpeakerModel if isinstance(self.head.config, SpeakerHeadConfig) else SpeechModel
        head = traceable(head) if isinstance(head, RecurrentHead) else head
        return kind(encoder, head).eval().requires_grad_(False)

    @property
    def recurrent(self) -> bool:
        """Whether the head is recurrent. torch alone could not load the traced program of such a one."""
        return isinstance(self.head.module, RecurrentHead)

    @property
    def min_samples(self) -> int:
        """Samples of the shortest recording that gives a frame, or as many as a speaker's back end needs."""
        head = self.head.config
        needed = shortest(head.backend) if isinstance(head, SpeakerHeadConfig) else 1
        return fewest_samples(self.encoder.config, needed)

    @property
    def equal_lengths(self) -> bool:
        """Whether recordings of one batch must be equally long. Padding would change the embedding of a speaker."""
        return isinstance(self.head.config, SpeakerHeadConfig)
