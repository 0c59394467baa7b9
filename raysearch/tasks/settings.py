"""Settings of tasks: what a student is judged on, as a search document says it under `task:`.

This file does not import torch, because documents are checked without it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from raysearch.settings import Count, Seconds, Settings, Updates, Width


class MaskSettings(Settings):
    """Spans of an encoder's features that are set to zero while it trains, as SpecAugment does."""

    mask_time: float = Field(0.0, ge=0, lt=1)
    """Expected share of the frames in masked spans of 0.2 s. Spans overlap, so that somewhat fewer are masked."""
    mask_channels: float = Field(0.0, ge=0, lt=1)
    """Expected share of the channels in masked spans of a twelfth of the width, each row of a batch for itself."""


class HeadSettings(MaskSettings):
    """Settings of every task that trains a head on the encoder's hidden states. Masks, `dropout`, `layer_drop` and
    `frozen` are for `finetune`."""

    superb_lr: ClassVar[float] = 1e-4
    """Learning rate of SUPERB's head, as s3prl's configuration of the task has it."""
    head: Literal["linear", "superb"] = "linear"
    """What is trained on the learned average of the hidden states. `linear`: one linear layer; `superb`: SUPERB's head
    for the task, which has a hidden layer or several."""
    head_width: Width = 256
    """Units of SUPERB's head in each hidden layer; its published number is the default."""
    mode: Literal["probe", "finetune"] = "probe"
    """What is trained. `probe`: the head alone, on a frozen encoder; `finetune`: the head and a copy of the encoder."""
    updates: Updates = 400
    """Updates of the head. In `finetune` an update costs about three passes of the encoder, in `probe` none."""
    batch_s: Seconds = 30.0
    """Seconds of audio in a batch."""
    lrs: list[float] = Field([3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0], min_length=1, max_length=100)
    """Peak learning rates of heads in `probe`, ascending. Each trains a head, and the dev split chooses among them. Of
    SUPERB's head the published rate alone is the default."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak learning rate of the head in `finetune`."""
    encoder_lr: float = Field(5e-4, gt=0)
    """Peak learning rate of the encoder in `finetune`. It is well below the head's, or the encoder forgets what it
    knew."""
    speed: float = Field(0.0, ge=0, lt=1)
    """Share by which `finetune` plays each cut faster or slower, drawn anew each time. It stands in for more voices."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the encoder."""
    layer_drop: float = Field(0.0, ge=0, lt=1)
    """Probability with which an update passes by a block of the encoder."""
    frozen: float = Field(0.0, ge=0, le=1)
    """Share of the updates, the first ones, in which the head learns alone. They cost a third of the others."""

    @model_validator(mode="before")
    @classmethod
    def _published_rate(cls, given: Any) -> Any:
        # Rates of linear heads are far too high for it, and seven recurrent heads at once would be too much.
        if isinstance(given, dict) and given.get("head") == "superb" and "lrs" not in given:
            return {**given, "lrs": [cls.superb_lr]}
        return given

    @field_validator("lrs")
    @classmethod
    def _ascending(cls, lrs: list[float]) -> list[float]:
        if lrs[0] <= 0 or any(a >= b for a, b in pairwise(lrs)):
            raise ValueError(f"{lrs}; expected positive rates in ascending order")
        return lrs


class CtcSettings(HeadSettings):
    """Settings of every task that reads symbols from frames with a CTC head."""


class AsrSettings(CtcSettings):
    """Recognition of words, which are read character by character."""

    kind: Literal["asr"] = "asr"
    metric: ClassVar[str] = "wer"
    head_width: Width = 1024
    """Units of SUPERB's head: of its linear layer, and of each of its two LSTM layers in each direction. Its published
    number is the default."""


class SlotsSettings(CtcSettings):
    """Recognition of words and of the slots among them, as the corpus has them in `custom.marked`: a slot's name stands
    in angle brackets before and behind its words."""

    kind: Literal["slots"] = "slots"
    metric: ClassVar[str] = "error"
    head_width: Width = 1024
    """Units of SUPERB's head: of its linear layer, and of each of its two LSTM layers in each direction. Its published
    number is the default."""


class PhonemesSettings(CtcSettings):
    """Recognition of phones, as the corpus lists them in `custom.phones`."""

    superb_lr: ClassVar[float] = 1e-2
    kind: Literal["phonemes"] = "phonemes"
    metric: ClassVar[str] = "per"


class BackendSettings(Settings):
    """What turns an encoder's frames into one embedding of the speaker."""

    kind: Literal["ecapa", "linear", "xvector"] = "ecapa"
    """Kind of back end. `ecapa`: ECAPA-TDNN; `linear`: mean and deviation over time, then one linear layer; `xvector`:
    SUPERB's x-vector, five layers over time, mean and deviation, and a linear layer."""
    channels: int = Field(512, ge=8, le=65_536, multiple_of=8)
    """Channels C of ECAPA-TDNN, or of an x-vector. A linear back end has none."""
    embedding: Width = 192
    """Width of the embedding. That of SUPERB's x-vector is 512."""
    layers: Literal["last", "sum"] = "last"
    """What the back end reads. `last`: the encoder's output; `sum`: a learned average of all LayerNormed hidden
    states."""


class AamSettings(Settings):
    """Additive angular margin (AAM) softmax over the training speakers."""

    margin: float = Field(0.2, ge=0, lt=1)
    """Radians by which a cut must be nearer to its own speaker than to any other."""
    margin_warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which the margin rises from 0."""
    scale: float = Field(30.0, gt=0)
    """Factor on the cosines, before the softmax."""

    def margin_at(self, progress: float) -> float:
        """The margin in radians after this share of the updates."""
        return self.margin * (min(1.0, progress / self.margin_warmup) if self.margin_warmup else 1.0)


class SpeakerSettings(Settings):
    """Speaker verification: whether one person speaks in two cuts. A method that trains a back end of its own is judged
    by that one. For other students a back end is trained here, on their frozen hidden states."""

    kind: Literal["speaker"] = "speaker"
    metric: ClassVar[str] = "eer"
    p_target: float = Field(0.05, gt=0, lt=1)
    """Prior of a target pair in the least detection cost (minDCF)."""
    as_norm: int = Field(0, ge=0, le=1_000_000)
    """Number of cohort speakers, those nearest to either cut of a pair, by which scores are normalised. 0 leaves
    cosines as they are. The cohort is up to 600 training speakers."""
    segments: int = Field(0, ge=0, le=1_000)
    """Number of segments of 3 s that are taken from each cut, evenly spaced. A score is then half the cosine of the
    whole cuts and half the mean cosine of all pairs of their segments. 0 scores whole cuts alone."""
    backend: BackendSettings = BackendSettings(kind="linear", layers="sum")
    """The back end trained here."""
    loss: Literal["aam", "am"] = "aam"
    """The loss of the back end trained here. `aam`: the margin is added to the angle; `am`: it is taken from the
    cosine, as in SUPERB, and is no angle then but a difference of cosines."""
    aam: AamSettings = AamSettings()
    """Margin and scale of that loss."""
    updates: Updates = 300
    """Updates of the back end trained here."""
    batch: Count = 64
    """Crops in an update."""
    crop_s: Seconds = 2.0
    """Length of a crop in seconds."""
    lr: float = Field(3e-3, gt=0)
    """Peak learning rate of the back end trained here."""

    @model_validator(mode="after")
    def _one_kind_of_score(self) -> SpeakerSettings:
        if self.segments and self.as_norm:
            raise ValueError(f"segments: {self.segments} with as_norm = {self.as_norm}; expected one of them to be 0")
        return self


class FieldSettings(HeadSettings):
    """Settings of every task that decides fields of a whole recording. SUPERB's head takes the mean of the frames."""

    pooling: Literal["attention", "mean+max"] = "mean+max"
    """How frames become one vector in a linear head. `mean+max`: their mean and maximum; `attention`: each value
    attends to frames of its own, which finds words in a long recording."""
    segments: int = Field(1, ge=1, le=1_000)
    """Number of equal stretches of a cut whose means and maxima are taken. More than one keeps the order of sounds."""

    @model_validator(mode="after")
    def _mean_of_all(self) -> FieldSettings:
        if self.head == "superb" and self.segments > 1:
            raise ValueError(f"segments: {self.segments} with head = superb; expected 1")
        return self


class ClassificationSettings(FieldSettings):
    """One class for each recording, as the corpus says it in `custom.label`. Where several corpora are joined, each has
    a head of its own, and figures are means over them, as in the LAPE benchmark."""

    kind: Literal["classification"] = "classification"
    metric: ClassVar[str] = "error"
    labels: float = Field(1.0, gt=0, le=1)
    """Share of the training split's labels that is used. Each class gives that share, and at least one cut."""
    balanced: bool = False
    """Whether all classes count the same while a head learns, however many cuts they have. Errors count each cut."""


class IntentSettings(FieldSettings):
    """Intent and slots of a spoken request, as the corpus says them in `custom.intent` and `custom.slots`."""

    kind: Literal["intent"] = "intent"
    metric: ClassVar[str] = "error"
    pooling: Literal["attention", "mean+max"] = "attention"
    """How frames become one vector in a linear head. `mean+max`: their mean and maximum; `attention`: each value
    attends to frames of its own, which finds words in a long recording."""
    slots: list[str] | None = None
    """Slots to read, each from the values that it has in train. By default all are read; `[]` reads only the intent."""


TaskSettings = Annotated[
    AsrSettings | PhonemesSettings | SlotsSettings | SpeakerSettings | ClassificationSettings | IntentSettings,
    Field(discriminator="kind"),
]
