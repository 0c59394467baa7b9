"""Settings of the methods that prune. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from raysearch.methods.features.settings import DistillationSettings
from raysearch.settings import Settings
from raysearch.training.settings import TrainingSettings


class PruningSettings(Settings):
    """How gates learn what to drop (HJ-Pruning)."""

    target: Literal["macs", "size", "separate-sizes"] = "macs"
    """What is held to its share: MACs, parameters, or the parameters of front end and transformer each."""
    macs_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the teacher's MACs that stays, on SUPERB's 32 utterances. 1 prunes nothing: the dense model to compare
    with, trained as the others are."""
    size_ratio: float = Field(0.25, gt=0, le=1)
    """Share of the teacher's parameters that stays."""
    front_end_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the front end's parameters that stays, with `separate-sizes`."""
    transformer_ratio: float = Field(0.25, gt=0, le=1)
    """Share of all other parameters that stays, with `separate-sizes`."""
    units: list[Literal["channels", "heads", "ffn", "attention_layers", "ffn_layers"]] = ["channels", "heads", "ffn"]
    """What has gates: convolution channels, attention heads, FFN units, whole sub-layers. In a search space one word,
    joined by `+`: `heads+ffn` prunes the transformer only."""
    multiple: PositiveInt = 1
    """Channels and FFN units left in a layer are a multiple of this: hardware likes 8 or 16, see
    `benchmarks/slice_speedup.py`. Too coarse a multiple misses the target and is refused."""
    continue_from: str | None = None
    """Folder of a finished pruning trial of the same teacher, absolute. The student starts as that trial's, and the
    target, still a share of the teacher, falls from what is left there."""
    share: float = Field(2 / 3, gt=0, lt=1)
    """Share of the updates that learns gates; the rest trains the sliced student. No trial is compared before."""
    ramp: float = Field(0.1, ge=0, le=1)
    """Share of the pruning updates over which the target falls linearly from the whole teacher to its ratio."""
    recovery_lr: float = Field(0.5, gt=0)
    """Peak rates after slicing, as a share of those before."""
    gate_lr: float = Field(0.1, gt=0)
    """Peak rate of the gates' own AdamW. A gate needs about 8 / rate updates from open to closed."""
    multiplier_lr: float = Field(3.0, gt=0)
    """Rate of the Lagrange multipliers' own gradient ascent."""
    stiffness: float = Field(50.0, ge=0)
    """Where the multiplier of the squared gap starts. Stiffer finds the target sooner, but hears less of the loss."""
    drop: float = Field(0.01, gt=0, lt=1)
    """Rate at which channels, heads and sub-layers are dropped at the start."""
    ffn_drop: float = Field(0.5, gt=0, lt=1)
    """Rate at which FFN units are dropped at the start."""
    temperature: float = Field(2 / 3, gt=0)
    """Temperature of the gates' hard-concrete distribution: the lower, the nearer to 0 and 1 they are drawn."""

    @field_validator("units", mode="before")
    @classmethod
    def _one_word(cls, units: Any) -> Any:
        return units.split("+") if isinstance(units, str) else units

    @field_validator("continue_from")
    @classmethod
    def _absolute(cls, folder: str | None) -> str | None:
        # Workers run in other folders than the command.
        if folder is not None and not Path(folder).is_absolute():
            raise ValueError(f"{folder}; expected an absolute path")
        return folder

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
    """What is held to its share: MACs, parameters, or the parameters of front end and transformer each."""


class PruningCtcSettings(Settings):
    """Supervision of a student that is pruned for one task."""

    unit: Literal["auto", "phones", "characters"] = "auto"
    """What the head reads; `auto`: phones if the corpus has them, else characters."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak rate of the linear head, which starts from nothing while the student does not."""


class MatchingSettings(DistillationSettings):
    """Matching of a pruned student's hidden states with its teacher's (DPHuBERT)."""

    layers: list[int] = Field([0, 4, 8, 12], min_length=1)
    """Layers to match: 0 enters the first block, 1 leaves it, -1 is the last."""
    cosine_weight: float = Field(1.0, ge=0)
    """Weight of 1 - cosine similarity."""


class PruningTraining(TrainingSettings):
    """How a student is trained that starts as a copy of its teacher."""

    lr: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW for the student's weights."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the student while it trains: its gates disturb it enough."""


class HJPruningSettings(Settings):
    """Prune a copy of the teacher while it learns a task."""

    pruning: PruningSettings = PruningSettings()
    """Gates, target and the two phases."""
    ctc: PruningCtcSettings = PruningCtcSettings()
    """The task."""
    training: PruningTraining = PruningTraining()
    """Optimiser and batches."""


class DPHubertSettings(Settings):
    """Prune a copy of the teacher while it imitates the teacher."""

    pruning: SizePruning = SizePruning()
    """Gates, target and the two phases."""
    distillation: MatchingSettings = MatchingSettings()
    """Layers and loss."""
    training: PruningTraining = PruningTraining()
    """Optimiser and batches."""
