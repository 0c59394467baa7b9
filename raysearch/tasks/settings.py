"""What a student is judged on, as a search document writes it under `task:`. No torch here."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator

from raysearch.settings import Settings


class CtcSettings(Settings):
    """Fields of every task that reads symbols from frames with a linear CTC head."""

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

    @field_validator("lrs")
    @classmethod
    def _ascending(cls, lrs: list[float]) -> list[float]:
        if lrs[0] <= 0 or any(a >= b for a, b in pairwise(lrs)):
            raise ValueError(f"{lrs}; expected positive rates in ascending order")
        return lrs


class AsrSettings(CtcSettings):
    """Words, read as characters."""

    kind: Literal["asr"] = "asr"
    metric: ClassVar[str] = "wer"


class PhonemesSettings(CtcSettings):
    """Phones, as the corpus lists them in `custom.phones`."""

    kind: Literal["phonemes"] = "phonemes"
    metric: ClassVar[str] = "per"


TaskSettings = Annotated[AsrSettings | PhonemesSettings, Field(discriminator="kind")]
