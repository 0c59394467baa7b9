"""What a student is judged on, as a search document writes it under `task:`. No torch here."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator

from raysearch.settings import Settings


class HeadSettings(Settings):
    """Fields of every task that trains a linear head on the encoder's hidden states."""

    mode: Literal["probe", "finetune"] = "probe"
    """`probe`: the encoder is frozen and only the head is trained; `finetune`: a copy of the encoder is trained too."""
    updates: PositiveInt = 400
    """Updates of the head. A finetune update costs about three encoder passes, a probe update none."""
    batch_s: float = Field(30.0, gt=0)
    """Seconds of audio in a batch."""
    lrs: list[float] = Field([3e-2, 1e-1, 3e-1], min_length=1)
    """Peak learning rates of a probe's head, ascending: each trains a head, and the dev split chooses among them."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak learning rate of the head in `finetune`."""
    encoder_lr: float = Field(5e-4, gt=0)
    """Peak learning rate of the encoder in `finetune`; well below the head's, or the encoder forgets what it knew."""
    speed: float = Field(0.0, ge=0, lt=1)
    """Share by which `finetune` plays each cut faster or slower, drawn anew each time: stands in for more voices."""

    @field_validator("lrs")
    @classmethod
    def _ascending(cls, lrs: list[float]) -> list[float]:
        if lrs[0] <= 0 or any(a >= b for a, b in pairwise(lrs)):
            raise ValueError(f"{lrs}; expected positive rates in ascending order")
        return lrs


class CtcSettings(HeadSettings):
    """Fields of every task that reads symbols from frames with a linear CTC head."""


class AsrSettings(CtcSettings):
    """Words, read as characters."""

    kind: Literal["asr"] = "asr"
    metric: ClassVar[str] = "wer"


class PhonemesSettings(CtcSettings):
    """Phones, as the corpus lists them in `custom.phones`."""

    kind: Literal["phonemes"] = "phonemes"
    metric: ClassVar[str] = "per"


class BackendSettings(Settings):
    """What turns an encoder's frames into one embedding of the speaker."""

    kind: Literal["ecapa", "linear"] = "ecapa"
    """`ecapa`: ECAPA-TDNN; `linear`: mean and deviation over time, then one linear layer, as in an x-vector's end."""
    channels: int = Field(512, ge=8, multiple_of=8)
    """Channels C of ECAPA-TDNN; a linear back end has none."""
    embedding: PositiveInt = 192
    """Width of the embedding."""
    layers: Literal["last", "sum"] = "last"
    """`last`: the encoder's output; `sum`: a learned average of all LayerNormed hidden states."""


class AamSettings(Settings):
    """Additive angular margin softmax over the training speakers."""

    margin: float = Field(0.2, ge=0, lt=1)
    """Radians by which a cut must be nearer to its own speaker than to any other."""
    margin_warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which the margin rises from 0."""
    scale: float = Field(30.0, gt=0)
    """Factor on the cosines."""

    def margin_at(self, progress: float) -> float:
        """The margin after this share of the updates."""
        return self.margin * (min(1.0, progress / self.margin_warmup) if self.margin_warmup else 1.0)


class SpeakerSettings(Settings):
    """Whether one person speaks in two cuts. A method that trains a back end of its own is judged by that one; for
    other students a back end is trained here on their frozen hidden states."""

    kind: Literal["speaker"] = "speaker"
    metric: ClassVar[str] = "eer"
    p_target: float = Field(0.05, gt=0, lt=1)
    """Prior of a target pair in minDCF."""
    as_norm: int = Field(0, ge=0)
    """Cohort speakers nearest to either side that scores are normalised by; 0 leaves cosines as they are. The cohort
    are up to 600 training speakers."""
    backend: BackendSettings = BackendSettings(kind="linear", layers="sum")
    """The back end trained here."""
    aam: AamSettings = AamSettings()
    """The loss of the back end trained here."""
    updates: PositiveInt = 300
    """Updates of the back end trained here."""
    batch: PositiveInt = 64
    """Crops in an update."""
    crop_s: float = Field(2.0, gt=0)
    """Length of a crop."""
    lr: float = Field(3e-3, gt=0)
    """Peak learning rate of the back end trained here."""


class ClassificationSettings(HeadSettings):
    """One class a recording, as the corpus says it in `custom.label`. Of several corpora joined, each has its own head,
    and figures are means over them (the LAPE benchmark's way)."""

    kind: Literal["classification"] = "classification"
    metric: ClassVar[str] = "error"
    pooling: Literal["attention", "mean+max"] = "mean+max"
    """How frames become one vector: their mean and maximum, or an attention of each value's own, which finds words in a
    long recording."""
    segments: PositiveInt = 1
    """Equal stretches of a cut whose means and maxima are taken: more than one keeps the order of sounds."""
    labels: float = Field(1.0, gt=0, le=1)
    """Share of the training split's labels that is used: as much of each class, and at least one cut."""


class IntentSettings(HeadSettings):
    """Intent and slots of a spoken request, as the corpus says them in `custom.intent` and `custom.slots`."""

    kind: Literal["intent"] = "intent"
    metric: ClassVar[str] = "error"
    pooling: Literal["attention", "mean+max"] = "attention"
    """How frames become one vector: their mean and maximum, or an attention of each value's own, which finds words in a
    long recording."""
    segments: PositiveInt = 1
    """Equal stretches of a cut whose means and maxima are taken: more than one keeps the order of sounds."""
    slots: list[str] | None = None
    """Slots to read, each from the values that train has for it; by default all. `[]` reads the intent alone."""


TaskSettings = Annotated[
    AsrSettings | PhonemesSettings | SpeakerSettings | ClassificationSettings | IntentSettings,
    Field(discriminator="kind"),
]
