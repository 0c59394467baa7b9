"""The two phases of a pruning trial: gates and weights learn together, then the sliced student recovers.

To slice is to remove the units whose gates are closed. Beside what every trial's folder holds, that of a pruning trial
holds `pruning/` with the first phase until the trial ends, `sliced/` with the student right after slicing and the heads
of its loss module, `left.json` with the units of each layer that are left and that there were before, and `slice.json`
with what the slice did.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raysearch.corpora.batches import TrainingBatches
from raysearch.encoder.build import set_dropout
from raysearch.encoder.checkpoint import CONFIG_NAME, load_encoder, save_encoder
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import macs_superb, params, sizes_of
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet
from raysearch.encoder.slicing import slice_encoder
from raysearch.errors import InputError
from raysearch.files.whole import whole_file, write_whole
from raysearch.methods.pruning.budget import Budget, budgets, start_config, student_folder
from raysearch.methods.pruning.lagrangian import Lagrangian, Pruning, gate_group, settle
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.methods.student import batches_for
from raysearch.methods.trial import Trial
from raysearch.targets.kept_features import KeptFeatures
from raysearch.tasks.layers import at_rest
from raysearch.training.checkpoint import load_weights
from raysearch.training.loop import fit
from raysearch.training.loss_module import LossModule
from raysearch.training.monitoring.curve import CURVE_NAME
from raysearch.training.precision import autocast
from raysearch.training.process import rank
from raysearch.training.recipe import Prepare, Recipe
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run

_log = logging.getLogger(__name__)

HEADS_NAME = "heads.safetensors"
SLICE_NAME = "slice.json"
"""Name of the file in a trial's folder that holds the metrics of its slice."""
COMPARED_BATCHES = 4
"""Batches on which the loss before and after the slice is taken."""


def prune(
    trial: Trial[Any],
    pruning: PruningSettings,
    training: TrainingSettings,
    build: Callable[[GatedEncoder], tuple[LossModule, Prepare]],
    lr_scales: Mapping[str, float],
    *,
    dense: Encoder,
    heads: Mapping[str, Any] | None = None,
    kept: KeptFeatures | None = None,
) -> Iterator[Report]:
    """Runs both phases. Rungs before the slice are passed over, because trials cannot be compared inside the ramp.

    With a ratio of 1 nothing has gates, and the same updates train the dense student.

    `build(student)` gives the loss module, whose attribute `student` is the student, and what prepares its batches.
    `lr_scales` are factors on the learning rates of the loss module's parameters. The student starts as a copy of
    `dense`, unless it continues an earlier one. `heads` are those of the loss module, by task, in the form in which the
    task judges them. `kept` are the hidden states that `prepare` wants beside each batch. Every report carries what the
    student really costs, as `cost/macs_g` and `cost/params_m`, and what the slice did, as `_Phases.learn_gates` tells
    it.
    """
    torch.manual_seed(trial.seed)
    teacher = trial.teacher.encoder.config
    start = start_config(pruning, teacher)
    goals = budgets(pruning, teacher, start)
    units = [] if all(goal.ratio == 1 for goal in goals) else pruning.units
    gates = GateSet(start, units, pruning.drop, pruning.ffn_rate, pruning.temperature)
    weights = dense if pruning.continue_from is None else load_encoder(student_folder(pruning.continue_from))
    loss_module, prepare = build(GatedEncoder(_copy(weights, start, training.dropout), gates))
    _take_heads(loss_module, pruning)
    loss_module.to(trial.device)
    batches, training = batches_for(trial, loss_module, prepare, training, kept=kept)
    phases = _Phases(trial, pruning, training, loss_module, batches, prepare, lr_scales, heads)
    sliced = trial.folder / "sliced"
    student = _sliced_before(sliced, loss_module, trial.device)
    if student is None:
        student, told = phases.learn_gates(goals)
        if rank() == 0:
            trial.folder.mkdir(parents=True, exist_ok=True)
            write_whole(trial.folder / SLICE_NAME, json.dumps(told))
            _save(loss_module, student, sliced)
            _note_what_is_left(teacher, student.config, trial.folder / "left.json")
    yield from phases.recover(student)


def _sliced_before(folder: Path, loss_module: nn.Module, device: torch.device) -> Encoder | None:
    """The sliced student of a first phase that is done, whose heads go into the module.

    None if that phase is not done or its outcome is damaged: the last checkpoint of the phase gives it again.
    """
    # The config is written last: where it is, the first phase is done.
    if not (folder / CONFIG_NAME).exists():
        return None
    try:
        student = load_encoder(folder, device)
        # The file holds the heads alone. The student was read from its own checkpoint.
        loss_module.load_state_dict(load_file(folder / HEADS_NAME, device=str(device)), strict=False)
    except (InputError, OSError, SafetensorError) as err:
        _log.warning("%s is damaged (%s); it is sliced again", folder, err)
        return None
    return student


@dataclass(frozen=True)
class _Phases:
    """The two phases, and what they have in common."""

    trial: Trial[Any]
    pruning: PruningSettings
    training: TrainingSettings
    loss_module: LossModule
    batches: TrainingBatches
    prepare: Prepare
    lr_scales: Mapping[str, float]
    heads: Mapping[str, Any] | None

    @property
    def end(self) -> int:
        """The number of updates until the slice. At least one is left for the recovery."""
        last = self.trial.rungs[-1]
        return max(1, min(last - 1, round(self.pruning.share * last)))

    def learn_gates(self, goals: Sequence[Budget]) -> tuple[Encoder, dict[str, float]]:
        """Trains weights and gates together, which is the first phase, and gives the sliced student and metrics.

        These are the share of gates that are undecided, the sparsity that the gates expect before numbers of units are
        moved to the target, and the loss just before and just after the slice.
        """
        trial, pruning = self.trial, self.pruning
        ramp = round(pruning.ramp * self.end)
        module = Pruning(self.loss_module, Lagrangian(goals, ramp, pruning.multiplier_lr, pruning.stiffness))
        run = Run(
            trial.folder / "pruning",
            trial.device,
            trial.seed,
            trial.precision,
            (self.end,),
            self.training,
            lr_scales={f"objective.{prefix}": scale for prefix, scale in self.lr_scales.items()},
            groups=(gate_group(pruning, self.end),),
            curve=trial.folder / CURVE_NAME,
        )
        # The only rung of this phase is its end, where the student is not sliced yet: there is nothing to report.
        for _ in fit(run, Recipe(module, self.batches, _with_step(self.prepare))):
            pass
        gated, gates = module.gated, module.gated.gates
        student, _ = slice_encoder(gated.encoder, gates.values(settle(gates, goals)))
        before, after = self._losses(gated, student)
        told = {"undecided": gates.undecided().item(), **module.lagrangian.sparsity(gates.expected())}
        told |= {"loss_before": before, "loss_after": after}
        return student, {f"pruning/{name}": value for name, value in told.items()}

    def _losses(self, *students: nn.Module) -> list[float]:
        """The mean loss with each student, on the batches with which the second phase begins.

        Gates that are not sliced yet are fixed, as many open as they expect.
        """
        trial = self.trial
        stream = islice(self.batches.from_step(self.end * self.training.accumulate), COMPARED_BATCHES)
        inputs = [_on_device(self.prepare(self.end, batch), trial.device) for batch in stream]
        losses = []
        for student in students:
            self.loss_module.student = student
            with at_rest(self.loss_module), autocast(trial.device, trial.precision):
                found = [self.loss_module(**one)[0].float() for one in inputs]
            losses.append(torch.stack(found).mean().item())
        return losses

    def recover(self, student: Encoder) -> Iterator[Report]:
        """Trains the sliced student in the gated one's place, which is the second phase, and reports at each rung."""
        trial, training = self.trial, self.training
        # A sliced encoder is made without dropout.
        set_dropout(student, training.dropout)
        self.loss_module.student = student
        run = Run(
            trial.folder,
            trial.device,
            trial.seed,
            trial.precision,
            tuple(rung for rung in trial.rungs if rung >= self.end),
            training.model_copy(update={"lr": training.lr * self.pruning.recovery_lr}),
            lr_scales=self.lr_scales,
            start=self.end,
            quantised=trial.quantised,
        )
        told = trial.folder / SLICE_NAME
        metrics = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
        recipe = Recipe(
            self.loss_module,
            self.batches,
            self.prepare,
            trial.evaluate,
            self.heads,
            more=lambda encoder: {**_cost(encoder.config), **metrics},
        )
        for report in fit(run, recipe):
            if report.final and rank() == 0:
                # After the last rung nothing resumes from the first phase any more.
                shutil.rmtree(trial.folder / "pruning", ignore_errors=True)
            yield report


def _copy(weights: Encoder, config: EncoderConfig, dropout: float) -> Encoder:
    """A copy of an encoder, with this dropout."""
    student = Encoder(config, dropout=dropout)
    student.load_state_dict(weights.state_dict())
    return student


def _take_heads(loss_module: nn.Module, settings: PruningSettings) -> None:
    """Takes over the heads of the trial that is continued.

    New heads stay if that trial had others, as one of another method has.
    """
    if settings.continue_from is None:
        return
    found = load_weights(Path(settings.continue_from), torch.device("cpu"))
    mine, theirs = (
        {name: x for name, x in weights.items() if not name.startswith("student.")}
        for weights in (loss_module.state_dict(), found)
    )
    if {name: x.shape for name, x in mine.items()} == {name: x.shape for name, x in theirs.items()}:
        loss_module.load_state_dict(theirs, strict=False)


def _on_device(inputs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: x.to(device) if isinstance(x, Tensor) else x for name, x in inputs.items()}


def _with_step(prepare: Prepare) -> Prepare:
    return lambda step, batch: {**prepare(step, batch), "step": step}


def _save(loss_module: nn.Module, student: Encoder, folder: Path) -> None:
    """Writes the sliced student and the heads. The encoder's config comes last: where it is, everything is."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = {name: x.cpu() for name, x in loss_module.state_dict().items() if not name.startswith("student.")}
    with whole_file(folder / HEADS_NAME) as part:
        save_file(heads, part)
    save_encoder(student, folder)


def _note_what_is_left(before: EncoderConfig, after: EncoderConfig, path: Path) -> None:
    full, left = sizes_of(before)._asdict(), sizes_of(after)._asdict()
    write_whole(path, json.dumps({unit: {"left": left[unit], "before": full[unit]} for unit in full}))


def _cost(config: EncoderConfig) -> dict[str, float]:
    return {"cost/macs_g": macs_superb(config) / 1e9, "cost/params_m": params(config) / 1e6}
