"""Groups of settings of the methods that train for speaker verification. This file does not import torch.

Durations are shares of a trial's updates, so that a short trial is a long one in small.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.settings import Depth, Seconds, Settings, Width
from raysearch.tasks.settings import AamSettings, MaskSettings
from raysearch.training.settings import TrainingSettings


class InheritedSettings(Settings):
    """What the student keeps of its teacher, together with the weights."""

    blocks: Depth = 4
    """Number of transformer blocks that stay."""
    which: Literal["first", "spread"] = "first"
    """Which blocks stay. `first`: the first ones; `spread`: as many, evenly over the depth, the first among them."""
    channels_ratio: float = Field(1.0, gt=0, le=1)
    """Share of the channels that stays in every convolution of the front end. The channels whose weights in the next
    layer are longest stay."""
    heads_ratio: float = Field(1.0, gt=0, le=1)
    """Share of each block's attention heads that stays, chosen in the same way."""
    ffn_ratio: float = Field(1.0, gt=0, le=1)
    """Share of each block's feed-forward units that stays, chosen in the same way."""


class AdapterSettings(Settings):
    """Adapters: small networks beside the student's feed-forward sub-layers, which learn to tell speakers apart."""

    width: Width = 64
    """Hidden units of an adapter."""
    scale: float = Field(0.1, gt=0)
    """Factor on what an adapter adds."""
    lr_scale: float = Field(10.0, gt=0)
    """Learning rate of the adapters, as a multiple of the back end's."""


class SharedSettings(Settings):
    """How fast the student's shared weights learn. These are all its weights but those of its adapters."""

    lr_scale: float = Field(1.0, gt=0)
    """Learning rate of the shared weights, as a multiple of the back end's."""
    lr_warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which the learning rate of the shared weights rises."""


class KdSettings(SharedSettings):
    """Imitation of the teacher's output by the student without its adapters (knowledge distillation, KD)."""

    weight: float = Field(100.0, gt=0)
    """Weight of the mean squared difference beside the verification loss."""
    schedule: Literal["linear", "constant", "cosine", "cut"] = "linear"
    """How the weight falls. `linear`: to zero in a straight line; `constant`: not at all; `cosine`: to zero along half
    a cosine; `cut`: to zero at once, after `cut_at`."""
    cut_at: float = Field(0.5, gt=0, le=1)
    """Share of the updates after which the schedule `cut` sets the weight to zero."""
    lr_decay: float = Field(0.93, gt=0, le=1)
    """Factor on the learning rate of the shared weights, for every hundredth of the updates after the warm-up."""


class FirstKdSettings(SharedSettings):
    """Imitation of the teacher's output before anything else. The shared weights' rate rises and falls in each step."""

    weight: float = Field(100.0, gt=0)
    """Weight of the mean squared difference."""
    share: float = Field(0.5, gt=0, lt=1)
    """Share of the updates that imitates. No rung is reported before they are done."""


class VerificationSettings(AamSettings):
    """The verification loss, and how far it reaches."""

    reach: Literal["shared", "detach", "detach-after"] = "shared"
    """Whether the loss trains the student's shared weights too. `shared`: always; `detach`: never; `detach-after`:
    until `detach_after`. It always trains the adapters and the back end. While it does not train shared weights, an
    update needs two passes."""
    detach_after: float = Field(0.5, gt=0, lt=1)
    """Share of the updates up to which the verification loss trains shared weights with `detach-after`."""
    class_weights: bool = False
    """Weigh each crop by one over the number of its speaker's recordings, so that all speakers count the same."""


class SpeakerTraining(TrainingSettings, MaskSettings):
    """How a student, its adapters and its back end are trained."""

    lr: float = Field(1e-4, gt=0)
    """Peak learning rate of the back end. Those of the student and of the adapters are multiples of it."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the updates in which the learning rate rises linearly. Then it falls along half a cosine."""
    floor: float = Field(0.01, ge=0, le=1)
    """Learning rate at which the cosine ends, as a share of the peak."""
    batch_s: Seconds = 256.0
    """Seconds of audio in a batch, of all processes together."""
    crop_s: Seconds = 2.0
    """Length of a crop in seconds."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of AdamW for the back end."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student while it trains."""

    @model_validator(mode="after")
    def _enough_crops(self) -> SpeakerTraining:
        if self.batch_s < 2 * self.crop_s:
            raise ValueError(f"batch_s: {self.batch_s:g}; expected at least two crops of crop_s = {self.crop_s:g}")
        return self

    def crops(self, processes: int) -> int:
        """The number of crops in an update.

        Every process has the same number, and at least two, because the back end normalises over them.
        """
        return processes * max(2, round(self.batch_s / self.crop_s / processes))
