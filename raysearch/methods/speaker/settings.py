"""Groups of settings of the methods that train for speaker verification. No torch here.

Shares are of a trial's updates, so that a short trial is a long one in small.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from raysearch.settings import Settings
from raysearch.tasks.settings import AamSettings
from raysearch.training.settings import TrainingSettings


class InheritedSettings(Settings):
    """What the student keeps of its teacher, weights and all."""

    blocks: PositiveInt = 4
    """Transformer blocks."""
    which: Literal["first", "spread"] = "first"
    """`first`: the first blocks; `spread`: as many, evenly over the depth, the first among them."""
    channels_ratio: float = Field(1.0, gt=0, le=1)
    """Share of the channels of every convolution of the front end that stays: those whose readers weigh most."""
    heads_ratio: float = Field(1.0, gt=0, le=1)
    """Share of each block's attention heads that stays."""
    ffn_ratio: float = Field(1.0, gt=0, le=1)
    """Share of each block's feed-forward units that stays."""


class AdapterSettings(Settings):
    """What the student learns for speakers beside its feed-forward sub-layers."""

    width: PositiveInt = 64
    """Hidden units of an adapter."""
    scale: float = Field(0.1, gt=0)
    """Factor on what an adapter adds."""
    lr_scale: float = Field(10.0, gt=0)
    """Rate of the adapters, as a multiple of the back end's."""


class SharedSettings(Settings):
    """How fast the student's weights without its adapters learn."""

    lr_scale: float = Field(1.0, gt=0)
    """Rate of the student's shared weights, as a multiple of the back end's."""
    lr_warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which the rate of the shared weights rises."""


class KdSettings(SharedSettings):
    """Imitation of the teacher's output, by the student's route past its adapters."""

    weight: float = Field(100.0, gt=0)
    """Weight of the mean squared difference beside the verification loss."""
    schedule: Literal["linear", "constant", "cosine", "cut"] = "linear"
    """How the weight falls: to zero in a line, not at all, to zero as a cosine, or to zero at once."""
    cut_at: float = Field(0.5, gt=0, le=1)
    """Share of the updates after which `cut` cuts."""
    lr_decay: float = Field(0.93, gt=0, le=1)
    """Factor on the rate of the student's shared weights for every hundredth of the updates after the warm-up."""


class FirstKdSettings(SharedSettings):
    """Imitation of the teacher's output, before anything else. In either step the student's rate rises and falls."""

    weight: float = Field(100.0, gt=0)
    """Weight of the mean squared difference."""
    share: float = Field(0.5, gt=0, lt=1)
    """Share of the updates. No rung is reported before they are done."""


class VerificationSettings(AamSettings):
    """The verification loss, and how far it reaches."""

    reach: Literal["shared", "detach", "detach-after"] = "shared"
    """Whether it trains the student's shared weights too: always; never; or up to `detach_after`. Adapters and back
    end it always trains. Without shared weights an update needs two passes."""
    detach_after: float = Field(0.5, gt=0, lt=1)
    """Share of the updates up to which `detach-after` is `shared`."""


class SpeakerTraining(TrainingSettings):
    """How a student, its adapters and its back end are trained."""

    lr: float = Field(1e-4, gt=0)
    """Peak rate of the back end; the student's and the adapters' are multiples of it."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the updates in which the rate rises linearly; then it falls as a cosine."""
    floor: float = Field(0.01, ge=0, le=1)
    """Where the cosine ends, as a share of the peak."""
    batch_s: float = Field(256.0, gt=0)
    """Seconds of audio in a batch, of all processes together."""
    crop_s: float = Field(2.0, gt=0)
    """Length of a crop."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decoupled weight decay, of the back end."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student while it trains."""

    @model_validator(mode="after")
    def _enough_crops(self) -> SpeakerTraining:
        if self.batch_s < 2 * self.crop_s:
            raise ValueError(f"batch_s: {self.batch_s:g}; expected at least two crops of crop_s = {self.crop_s:g}")
        return self

    def crops(self, processes: int) -> int:
        """Crops in an update: as many for every process, two at least, for their back end normalises over them."""
        return processes * max(2, round(self.batch_s / self.crop_s / processes))
