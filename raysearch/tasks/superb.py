"""SUPERB's heads without torch: what is published of them, and their cost in closed form.

All read a learned average of the hidden states. Those for words and for slots are recurrent, and the others are two
linear layers.

Source: SUPERB (Yang et al., Interspeech 2021), and the configurations of s3prl at commit ec8064b, which are named at
each figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raysearch.encoder.config import AnyConfig
from raysearch.tasks.settings import BackendSettings, HeadSettings, SpeakerSettings, TaskSettings

CLIP = 1.0
"""Largest norm of the gradient. Source: `gradient_clipping` of asr, ctc, speech_commands and fluent_commands."""
DROPOUT = 0.2
"""Dropout behind each LSTM layer. Source: asr/config.yaml."""
LSTM_LAYERS, DIRECTIONS, LSTM_GATES = 2, 2, 4
"""Layers of the recurrent head, each of which reads both ways, and the gates of an LSTM. Source: asr/config.yaml."""
TIME_MASKS, TIME_SPAN = 2, 40
"""Spans of frames that are masked in each cut while the recurrent head learns, and below how many frames each is long.
Source: `specaug` of asr/config.yaml."""
CHANNEL_MASKS, CHANNEL_SPAN = 4, 50 / 768
"""Spans of channels that are masked, and below which share of the channels each is wide. Source: as above, where it is
50 channels, of which HuBERT Base has 768."""
OUTPUTS = {"asr": 32, "phonemes": 74, "classification": 12, "intent": 24, "slots": 109}
"""Outputs of the published heads, by our name of the task. Here they are those of the corpus. Source: char.dict with
four special tokens, vocab/phoneme.txt with three, the classes of speech_commands, three slots of Fluent Speech
Commands, and vocab/character.txt with three special tokens and two marks for each of Audio SNIPS's 39 kinds of
slots."""
RECURRENT = ("asr", "slots")
"""Tasks whose head is recurrent."""


def superb_head_of(task: TaskSettings, encoder: AnyConfig) -> SuperbHead | None:
    """SUPERB's head on this encoder, with as many outputs as are published. None if the task asks for another."""
    if isinstance(task, SpeakerSettings) or task.head == "linear":
        return None
    return SuperbHead(task.kind, encoder.width, task.head_width, OUTPUTS[task.kind])


def superb_backend(task: TaskSettings) -> BackendSettings | None:
    """SUPERB's x-vector. None if the task asks for another back end, or for none."""
    return task.backend if isinstance(task, SpeakerSettings) and task.backend.kind == "xvector" else None


def clip_of(settings: HeadSettings) -> float | None:
    """The largest norm of a head's gradient while it is trained. None if it may have any."""
    return CLIP if settings.head == "superb" else None


@dataclass(frozen=True)
class SuperbHead:
    """SUPERB's head for a task, as far as its cost goes."""

    task: str
    """The task: `asr`, `phonemes`, `classification`, `intent` or `slots`."""
    width: int
    """Width of the encoder."""
    units: int
    """Units of each hidden layer."""
    outputs: int
    """Symbols with the blank, or values of all fields."""

    def macs(self, frames: Sequence[int]) -> int:
        """MACs on utterances of so many frames each. The average over layers is free, as sums are everywhere."""
        spoken = [count for count in frames if count > 0]
        if self.task in RECURRENT:
            return sum(spoken) * (self.width * self.units + self._recurrent + DIRECTIONS * self.units * self.outputs)
        linear = self.units * (self.width + self.outputs)
        return linear * (sum(spoken) if self.task == "phonemes" else len(spoken))

    def params(self, layers: int) -> int:
        """Parameters of the head on an encoder with so many hidden states."""
        entry = layers + (self.width + 1) * self.units
        if self.task not in RECURRENT:
            return entry + (self.units + 1) * self.outputs
        biases = LSTM_LAYERS * DIRECTIONS * LSTM_GATES * 2 * self.units
        return entry + self._recurrent + biases + (DIRECTIONS * self.units + 1) * self.outputs

    @property
    def _recurrent(self) -> int:
        """Weights of the LSTM layers, which are also their MACs in each frame."""
        inputs = [self.units, *[DIRECTIONS * self.units] * (LSTM_LAYERS - 1)]
        return sum(DIRECTIONS * LSTM_GATES * self.units * (count + self.units) for count in inputs)
