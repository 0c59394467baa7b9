"""Settings of the methods that prune. This file does not import torch, because documents are checked without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from raysearch.methods.features.settings import DistillationSettings
from raysearch.settings import Layer, Settings, Width, local_path
from raysearch.training.settings import TrainingSettings

PUBLISHED_FFN_DROP = 0.5
"""The rate at which FFN units are dropped at the start in DPHuBERT's public code. All others are dropped at 0.01."""


class PruningSettings(Settings):
    """How gates learn what to drop (HJ-Pruning)."""

    target: Literal["macs", "size", "separate-sizes"] = "macs"
    """What is held to its share. `macs`: the MACs; `size`: the parameters; `separate-sizes`: the parameters of the
    front end and those of the transformer, each to its own share."""
    macs_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the teacher's MACs that stays, on SUPERB's 32 utterances. 1 prunes nothing and gives the dense model to
    compare with, trained as the others are."""
    size_ratio: float = Field(0.25, gt=0, le=1)
    """Share of the teacher's parameters that stays."""
    front_end_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the front end's parameters that stays, with `separate-sizes`."""
    transformer_ratio: float = Field(0.25, gt=0, le=1)
    """Share of all other parameters that stays, with `separate-sizes`."""
    units: list[Literal["channels", "heads", "ffn", "attention_layers", "ffn_layers"]] = ["channels", "heads", "ffn"]
    """What has gates: channels of convolutions, attention heads, hidden units of the feed-forward network (FFN), whole
    sub-layers. A search space joins them by `+` to one word: `heads+ffn` prunes the transformer only."""
    multiple: Width = 1
    """Number of which the channels and FFN units left in a layer are a multiple. Hardware likes 8 or 16, as
    `benchmarks/slice_speedup.py` shows. Too coarse a multiple misses the target and is refused."""
    continue_from: str | None = None
    """Absolute path to the folder of a finished pruning trial of the same teacher. The student starts as that trial's.
    The target is still a share of the teacher, and falls from what that trial has left."""
    share: float = Field(2 / 3, gt=0, lt=1)
    """Share of the updates that learns gates. The rest trains the sliced student, and no trial is compared before."""
    ramp: float = Field(0.1, ge=0, le=1)
    """Share of the pruning updates over which the target falls linearly from the whole teacher to its ratio."""
    recovery_lr: float = Field(0.5, gt=0)
    """Peak learning rates after slicing, as a share of those before."""
    gate_lr: float = Field(0.1, gt=0)
    """Peak learning rate of the gates' own AdamW. A gate needs about 8 / rate updates from open to closed."""
    multiplier_lr: float = Field(3.0, gt=0)
    """Rate of the Lagrange multipliers' own gradient ascent."""
    stiffness: float = Field(50.0, ge=0)
    """Value at which the multiplier of the squared gap starts. A higher one finds the target sooner, but lets the loss
    say less about which units stay."""
    drop: float = Field(0.01, gt=0, lt=1)
    """Probability with which units are dropped at the start."""
    ffn_drop: Literal["equal", "published"] | Annotated[float, Field(gt=0, lt=1)] = "equal"
    """Probability with which FFN units are dropped at the start. `equal`: as all others, so that before the loss has
    said anything every unit has the same chance to be kept. `published`: 0.5, by which FFN units go first."""
    temperature: float = Field(2 / 3, gt=0)
    """Temperature of the gates' hard-concrete distribution. The lower it is, the nearer to 0 and 1 gates are drawn."""

    @property
    def ffn_rate(self) -> float:
        """The probability that `ffn_drop` means."""
        if isinstance(self.ffn_drop, float):
            return self.ffn_drop
        return self.drop if self.ffn_drop == "equal" else PUBLISHED_FFN_DROP

    @field_validator("units", mode="before")
    @classmethod
    def _one_word(cls, units: Any) -> Any:
        return units.split("+") if isinstance(units, str) else units

    @field_validator("ffn_drop", mode="wrap")
    @classmethod
    def _named_or_number(cls, rate: Any, check: ValidatorFunctionWrapHandler) -> Any:
        # Of two types pydantic would name the first alone as what is expected.
        try:
            return check(rate)
        except ValidationError as err:
            raise ValueError(f"{rate}; expected equal, published or a number between 0 and 1") from err

    @field_validator("continue_from")
    @classmethod
    def _absolute(cls, folder: str | None) -> str | None:
        # Workers run in other folders than the command.
        if folder is not None and not Path(folder).is_absolute():
            raise ValueError(f"{folder}; expected an absolute path")
        return folder if folder is None else str(local_path(folder))

    @model_validator(mode="after")
    def _fine_enough(self) -> PruningSettings:
        # Heads and whole sub-layers are too coarse to meet a target.
        needed = ["ffn", "channels"] if self.target == "separate-sizes" else ["ffn"]
        for unit in needed:
            if unit not in self.units:
                raise ValueError(f"units: {self.units}; expected {' and '.join(needed)} among them")
        return self


class SizePruning(PruningSettings):
    """How gates learn what to drop (DPHuBERT)."""

    target: Literal["macs", "size", "separate-sizes"] = "size"
    """What is held to its share. `macs`: the MACs; `size`: the parameters; `separate-sizes`: the parameters of the
    front end and those of the transformer, each to its own share."""


class PruningCtcSettings(Settings):
    """The head of a student that is pruned for one task."""

    unit: Literal["auto", "phones", "characters"] = "auto"
    """What a CTC head reads. `auto`: what the search's task reads, and where no task reads anything, phones if all cuts
    have them, else characters."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak learning rate of the task's head. It is the teacher's own or was trained on the teacher first; only the head
    of a task that the search does not judge starts from nothing."""


class MatchingSettings(DistillationSettings):
    """Matching of a pruned student's hidden states with its teacher's (DPHuBERT)."""

    layers: list[Layer] = Field([0, 4, 8, 12], min_length=1, max_length=1_000)
    """Layers to match: 0 is the input of the first block, 1 is its output, -1 is the last block's output."""
    cosine_weight: float = Field(1.0, ge=0)
    """Weight of 1 - cosine similarity in the loss."""


class PruningTraining(TrainingSettings):
    """How a student that starts as a copy of its teacher is trained."""

    lr: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW for the student's weights."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student while it trains. Its gates disturb it enough already."""


class HJPruningSettings(Settings):
    """Prune a copy of the teacher while it learns a task."""

    pruning: PruningSettings = PruningSettings()
    """Gates, target and the two phases."""
    ctc: PruningCtcSettings = PruningCtcSettings()
    """The task's head."""
    training: PruningTraining = PruningTraining()
    """Optimiser and batches."""


class DPHubertSettings(Settings):
    """Prune a copy of the teacher while it imitates the teacher."""

    pruning: SizePruning = SizePruning()
    """Gates, target and the two phases."""
    distillation: MatchingSettings = MatchingSettings()
    """Layers to match, and the loss."""
    training: PruningTraining = PruningTraining()
    """Optimiser and batches."""
