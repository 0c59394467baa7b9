"""The state of a run and its update: module, AdamW, schedule, precision, checkpoints.

A run has one process, or several that train together by DDP, torch's DistributedDataParallel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raysearch.encoder.encoder import Encoder
from raysearch.training import checkpoint
from raysearch.training.fake_quantised import fake_quantised
from raysearch.training.loss_module import LossModule, divisors
from raysearch.training.monitoring.meter import Unread
from raysearch.training.monitoring.spans import span
from raysearch.training.precision import autocast
from raysearch.training.process import generator, synchronise_norms, world_size
from raysearch.training.quantised import Quantised
from raysearch.training.schedule import linear
from raysearch.training.settings import TrainingSettings

_log = logging.getLogger(__name__)
_UNREAD = "unread/"


@dataclass(frozen=True)
class Group:
    """Parameters that are optimised in their own way, without weight decay."""

    prefix: str
    """Beginning of the names of the parameters in the group."""
    lr: float
    """Learning rate of the group."""
    schedule: Callable[[int], float]
    """Function from the update's number, counted from 0, to a factor on the rate."""
    clip: float
    """Norm above which the gradients of these parameters are scaled down, independently of all others."""


@dataclass(frozen=True)
class Run:
    """What the training loop needs to know beside a recipe: where, how long and how to train."""

    folder: Path
    device: torch.device
    seed: int
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    rungs: tuple[int, ...]
    """Numbers of updates after which to report. The last one is the budget."""
    settings: TrainingSettings
    lr_scales: Mapping[str, float] = field(default_factory=dict)
    """Factors on the learning rate, by the beginning of the names of the parameters that they hold for."""
    groups: tuple[Group, ...] = ()
    """Parameters with their own rate, schedule and clip. `settings` govern all others."""
    schedule: Callable[[int], float] | None = None
    """Function from the update's number, counted from 0, to a factor on the rate of parameters without a group of their
    own. None means linear warm-up as the settings say, then a linear fall to zero."""
    start: int = 0
    """Updates that were done in an earlier run, which this one follows. It counts on from there."""
    curve: Path | None = None
    """File of the curve, if it is not the folder's own. Two runs after one another can share one."""
    quantised: Quantised | None = None
    """The values of the student that have 8 bits in the last updates. None leaves it in floats."""

    @property
    def budget(self) -> int:
        """Number of updates after which the run ends."""
        return self.rungs[-1]

    def group(self, name: str) -> Group | None:
        """The group to which a parameter belongs. None if `settings` govern it."""
        return next((group for group in self.groups if name.startswith(group.prefix)), None)


class Trainer:
    """Updates a module and the student in it, in one process or in several that do the same."""

    def __init__(self, run: Run, module: LossModule) -> None:
        self._run = run
        self._bare = module.to(run.device).train()
        for parameter in module.unread():
            parameter.requires_grad_(False)
        self._module = _distributed(module, run.device) if world_size() > 1 else module
        self._optimiser = torch.optim.AdamW(
            _groups(module, run),
            # As in fairseq's recipe for HuBERT.
            betas=(0.9, 0.98),
            eps=1e-6,
            weight_decay=run.settings.weight_decay,
            fused=run.device.type in ("cpu", "cuda"),
        )
        # Only fp16 needs a scaler. bf16 has the range of fp32, where the scale would grow without bound.
        self._scaler = torch.amp.GradScaler(run.device.type, enabled=run.precision == "fp16")
        self.step = run.start
        """Number of updates done."""
        self.seconds = 0.0
        """Time spent in updates, summed over all processes that worked on the run one after another."""

    @property
    def student(self) -> Encoder:
        """The student inside the module."""
        student = self._bare.student
        assert isinstance(student, Encoder)
        return student

    @property
    def lr(self) -> float:
        """The learning rate of the next update, before `lr_scales` and for parameters without a group of their own."""
        run = self._run
        if run.schedule:
            return run.settings.lr * run.schedule(self.step)
        return run.settings.lr * linear(self.step - run.start, run.budget - run.start, run.settings.warmup)

    def update(self, batches: Iterable[Mapping[str, Any]]) -> dict[str, Tensor]:
        """One update, by the gradient of the loss of all its batches. Returns this process's metrics of it.

        `batches` are the module's arguments for each batch. All are made before the first is learned from, because the
        loss of each is divided by the counts of all. Their tensors are moved to the device one batch at a time. The
        metrics stay on the device. Their mean over processes is that of the update.
        """
        given = list(batches)
        with span("head and loss"):
            own = [self._bare.counts(**inputs) for inputs in given]
            counts = divisors(own, self._run.device, shared=world_size() > 1)
        for group in self._optimiser.param_groups:
            own = group["own"]
            group["lr"] = own.lr * own.schedule(self.step) if own else self.lr * group["lr_scale"]
        self._optimiser.zero_grad()
        rng = generator(self._run.seed, self.step)
        sums: dict[str, Tensor] = {}
        for number, inputs in enumerate(given, 1):
            # Dropout and gates draw from torch's own generator. It is seeded for each batch, so that a resumed run
            # draws the same, whatever prepared the batch has drawn before.
            torch.manual_seed(int(rng.integers(2**63)))
            with nullcontext() if number == len(given) else self._until_last():
                metrics = self._pass(inputs, counts)
            sums = {name: sums[name] + value if sums else value for name, value in metrics.items()}
        with span("optimiser"):
            # Gradients are unscaled before they are clipped: the clip is a norm of true gradients.
            self._scaler.unscale_(self._optimiser)
            norm = self._clip()
            self._scaler.step(self._optimiser)
            self._scaler.update()
        self.step += 1
        return {"grad_norm": norm, **sums}

    def _pass(self, inputs: Mapping[str, Any], counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Runs one batch forward and backward, adds its share to the gradients, and returns its metrics."""
        device = self._run.device
        with span("copy"):
            moved = {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        with span("head and loss"), autocast(device, self._run.precision), self._of_8_bits():
            loss, metrics = self._module(**moved, counts=counts)
        with span("backward"):
            self._scaler.scale(loss).backward()
        return {"loss": loss.detach(), **metrics}

    def _of_8_bits(self) -> AbstractContextManager[None]:
        """A context in which the student computes as its file will, if this update is one of those that do."""
        quantised = self._run.quantised
        if quantised is None or not quantised.covers(self.step, self._run.budget):
            return nullcontext()
        return fake_quantised(self.student, quantised)

    def _until_last(self) -> AbstractContextManager[None]:
        """A context in which gradients stay in their process. They are exchanged with those of the last batch."""
        return self._module.no_sync() if isinstance(self._module, DistributedDataParallel) else nullcontext()

    def _clip(self) -> Tensor:
        """Scales gradients down to their clips. Returns the norm of those that have no group of their own."""
        clips: dict[Group | None, list[nn.Parameter]] = {None: []}
        for group in self._optimiser.param_groups:
            clips.setdefault(group["own"], []).extend(group["params"])
        for own, parameters in clips.items():
            # Each group is clipped by itself, so that large gradients in one do not shrink those of another.
            if own:
                nn.utils.clip_grad_norm_(parameters, own.clip)
        return nn.utils.clip_grad_norm_(clips[None], self._run.settings.clip)

    def save(self, unread: Unread | None = None) -> None:
        """Writes a checkpoint into the run's folder, with `unread`, which no line of the curve holds yet."""
        state = {"seconds": self.seconds, "scaler": self._scaler.state_dict()}
        tensors = checkpoint.named_tensors(self._bare, self._optimiser)
        if unread and unread.sums:
            state["unread"] = unread.state
            tensors |= {_UNREAD + name: value for name, value in unread.sums.items()}
        checkpoint.save(self._run.folder, self.step, tensors, state)

    def resume(self) -> Unread | None:
        """Continues from the newest whole checkpoint in the run's folder, if there is one. Returns its `unread`."""
        found = checkpoint.load(self._run.folder, self._run.device)
        if found is None:
            return None
        tensors, state = found
        checkpoint.restore(self._bare, self._optimiser, tensors)
        self._scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        _log.info("%s: resuming after update %d", self._run.folder, self.step)
        sums = {name.removeprefix(_UNREAD): value for name, value in tensors.items() if name.startswith(_UNREAD)}
        return Unread(sums, state["unread"]) if sums else None


def _groups(module: nn.Module, run: Run) -> list[dict[str, Any]]:
    groups: dict[tuple[Group | None, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        scale = next((scale for prefix, scale in run.lr_scales.items() if name.startswith(prefix)), 1.0)
        groups.setdefault((run.group(name), scale), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr_scale": scale,
            "own": own,
            "weight_decay": 0.0 if own else run.settings.weight_decay,
        }
        for (own, scale), parameters in groups.items()
    ]


def _distributed(module: nn.Module, device: torch.device) -> nn.Module:
    synchronise_norms(module)
    return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)
