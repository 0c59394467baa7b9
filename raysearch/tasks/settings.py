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


class ClassificationSettings(HeadSettings):
    """One class a recording, as the corpus says it in `custom.label`. Of several corpora joined, each has its own head,
    and figures are means over them (the LAPE benchmark's way)."""

    kind: Literal["classification"] = "classification"
    metric: ClassVar[str] = "error"
    pooling: Literal["attention", "mean+max"] = "mean+max"
    """Of frames: their mean and maximum, or an attention of each value's own, which finds words in a long recording."""
    labels: float = Field(1.0, gt=0, le=1)
    """Share of the training split's labels that is used: as much of each class, and at least one cut."""


class IntentSettings(HeadSettings):
    """Intent and slots of a spoken request, as the corpus says them in `custom.intent` and `custom.slots`."""

    kind: Literal["intent"] = "intent"
    metric: ClassVar[str] = "error"
    pooling: Literal["attention", "mean+max"] = "attention"
    """Of frames: their mean and maximum, or an attention of each value's own, which finds words in a long recording."""
    slots: list[str] | None = None
    """Slots to read, each from the values that train has for it; by default all. `[]` reads the intent alone."""


TaskSettings = Annotated[
    AsrSettings | PhonemesSettings | ClassificationSettings | IntentSettings, Field(discriminator="kind")
]
