"""Settings of the method `supernet`. This file does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from raysearch.methods.features.settings import DistillationSettings
from raysearch.methods.settings import StudentSettings
from raysearch.settings import Depth, Settings, Updates, Width
from raysearch.training.settings import TrainingSettings

Ratio = Annotated[float, Field(gt=0, le=64)]
"""Units of a sub-layer, as a multiple of width."""
Block = Annotated[int, Field(ge=1, le=1_000)]
"""Number of a block, counted from 1."""


class SliceSettings(Settings):
    """The student's shape: how much of the supernet it has. What is left out is as in the whole, or follows the
    width."""

    depth: Depth | None = None
    """Number of transformer blocks. By default all; `supernet.blocks` says which of them fewer are."""
    width: Width | None = None
    """Width of the transformer. By default that of the whole."""
    heads: Width | dict[Block, Width] | None = None
    """Attention heads of each block, as wide as in the whole: one number for all, or `{2: 3, 4: 1}` for blocks by their
    number in the supernet. By default as many as the width has its share of."""
    ffn_ratio: Ratio | dict[Block, Ratio] | None = None
    """Hidden units of the feed-forward sub-layer, as a multiple of width: one number for all, or `{2: 1.0, 4: 3.0}` for
    blocks by their number in the supernet. By default as in the whole."""
    channels: Width | None = None
    """Channels of every convolution of the front end that has more. By default all."""


class SmallestSettings(Settings):
    """The smallest sub-network. No slice is smaller in any size."""

    depth: Depth = 1
    """Number of transformer blocks."""
    width: Width | None = None
    """Width of the transformer. By default about a quarter of that of the whole."""
    ffn_ratio: Ratio = 1.0
    """Hidden units of the feed-forward sub-layer, as a multiple of width. It is at most that of the whole."""
    channels: Width | None = None
    """Channels of every convolution of the front end that has more. By default about a quarter of the most."""


class SharedSettings(TrainingSettings):
    """The supernet and its training, which is done once for all trials that have these settings alike."""

    start: Literal["teacher", "blank"] = "teacher"
    """What the supernet begins as: a copy of the teacher, or an encoder with weights that are drawn."""
    largest: StudentSettings = StudentSettings()
    """Shape of the supernet where it begins blank. A copy of the teacher has the teacher's."""
    smallest: SmallestSettings = SmallestSettings()
    """The smallest sub-network that is trained, and may be a student."""
    sort: Literal["magnitude", "none"] = "magnitude"
    """Order of the units in a copy of the teacher. `magnitude`: those with the largest weights come first, so that
    small sub-networks begin with them."""
    blocks: Literal["first", "spread"] = "spread"
    """Which blocks a sub-network with fewer of them has: the first ones, or ones spread evenly, such as every other."""
    shapes: Literal["uniform", "per-block"] = "uniform"
    """Whether all blocks of a sub-network have as many heads and feed-forward units, or each its own. Slices with
    `student.heads` or `student.ffn_ratio` of single blocks want `per-block`."""
    updates: Updates = 2000
    """Updates of the supernet. Each trains several sub-networks on the same batch."""
    drawn: int = Field(2, ge=0, le=100)
    """Sub-networks that are drawn for each update. The largest and the smallest are always trained with them."""
    smaller: Literal["teacher", "largest"] = "teacher"
    """Whose hidden states the smaller sub-networks learn: the teacher's, or what the largest one predicts of them."""
    task_weight: float = Field(1.0, ge=0)
    """Weight of the loss of reading what was said, where the search judges that by CTC. With 0 the supernet has no head
    for it."""

    head_lr: float | None = Field(None, gt=0)
    """Peak learning rate of that head. By default `lr` where it begins as the teacher's own, and 0.01 where it starts
    from nothing."""

    @property
    def identity(self) -> str:
        """A text that is the same for equal settings, and in which those that were added later stand only if set."""
        later = {name for name, unset in (("shapes", "uniform"), ("head_lr", None)) if getattr(self, name) == unset}
        return self.model_dump_json(exclude=later)

    def read_task(self, judged: Sequence[str]) -> str:
        """The judged task that the supernet has a head for, which is the first one by CTC. Empty if it has no head.

        Where fields are decided, such as intents, it has none: they are what a method trains a student for then.
        """
        ctc = [task for task in judged if task in ("asr", "phonemes")]
        decided = {"classification", "intent"} & set(judged)
        return ctc[0] if ctc and self.task_weight and not decided else ""


class SupernetSettings(Settings):
    """Train one supernet for all trials, of which each takes a slice and may train it further."""

    student: SliceSettings = SliceSettings()
    """The student's shape, as a part of the supernet."""
    supernet: SharedSettings = SharedSettings()
    """The supernet and its training."""
    distillation: DistillationSettings = DistillationSettings()
    """Teacher blocks to predict, and the loss, both of the supernet and of slices."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches of the training of slices, after rung 0."""
