"""The training of a supernet, which all trials of a search share, and what it leaves for them.

Its folder holds `student/` with the supernet as an encoder, `heads.safetensors`, `curve.jsonl`, and `supernet.json`
with the symbols that its head reads and its settings.

Shapes: V symbols, D width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from raysearch.encoder.build import set_dropout
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import EncoderConfig, kept_bins
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.supernet.shared_weights import Supernet, slice_out
from raysearch.encoder.supernet.sorting import sort_units, width_order
from raysearch.encoder.supernet.sub_network import SubNetwork
from raysearch.files.whole import whole_file, write_whole
from raysearch.methods.features.regression import TeacherBatches
from raysearch.methods.settings import block_numbers
from raysearch.methods.student import train_student
from raysearch.methods.supernet.heads import Heads
from raysearch.methods.supernet.lessons import Reading, Sandwich, with_cuts, with_sub_networks
from raysearch.methods.supernet.settings import SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace, supernet_config
from raysearch.methods.trial import Trial
from raysearch.tasks.ctc.tokens import OutputHead, Tokens
from raysearch.tasks.head import ChosenHead, CtcHeadConfig
from raysearch.tasks.objective import Objective
from raysearch.training import checkpoint
from raysearch.training.initial import initial_encoder
from raysearch.training.recipe import Prepare
from raysearch.training.settings import TrainingSettings

HEADS_NAME, DOCUMENT_NAME = "heads.safetensors", "supernet.json"
HEAD = "heads.task."
"""Beginning of the names of the weights that read for the task."""
NEW_HEAD_LR = 1e-2
"""Peak learning rate of a head that starts from nothing, as the heads of teachers and of pruned students have it."""
VERSION = "1"
"""Part of the key of every supernet. It changes when the same settings would be trained in another way."""
KEPT_IN_MEMORY = 2
"""Supernets that a process keeps for its next trials."""


@dataclass(frozen=True)
class Trained:
    """A supernet that was trained."""

    encoder: Encoder
    heads: Heads
    task: str
    """The task for which it has a head. Empty if it has none."""
    tokens: Tokens
    """What that head reads."""

    def slice(self, sub: SubNetwork, dropout: float) -> tuple[Encoder, Heads]:
        """The sub-network as an ordinary encoder, and its heads. All have weights of their own."""
        student = slice_out(self.encoder, sub)
        set_dropout(student, dropout)
        return student, self.heads.sliced(student.config)

    def judged(self, student: Encoder, heads: Heads) -> dict[str, ChosenHead]:
        """The head of a slice, by its task, in the form in which the task judges it. Empty if there is none."""
        if heads.task is None:
            return {}
        return {self.task: ChosenHead.of_output(heads.task, self.tokens, student.config.depth + 1)}


def supernet_folder(trial: Trial[SupernetSettings]) -> Path:
    """The folder of the supernet of a trial. It is trained now if no trial before has asked for it."""
    settings = trial.settings
    read = settings.supernet.read_task(trial.judged)
    asked = [VERSION, settings.supernet.identity, settings.distillation.model_dump_json(), read]
    return trial.once("\n".join(asked), settings.supernet.updates, _train)


def shared_supernet(trial: Trial[SupernetSettings]) -> Trained:
    """The supernet of a trial. It is trained now if no trial before has asked for it."""
    folder, blocks = supernet_folder(trial), len(trial.settings.distillation.layers)
    return _load(folder, blocks, trial.teacher.encoder.config.width, trial.device)


def lesson_batches(
    trial: Trial[SupernetSettings], student: Encoder, training: TrainingSettings
) -> tuple[Prepare, Mapping[str, Any]]:
    """What prepares the batches of a lesson, and what `train_student` must know of the teacher's states beside them."""
    teacher = trial.teacher.encoder.to(trial.device)
    layers = block_numbers(trial.settings.distillation.layers, teacher.config.depth)
    kept = trial.kept_features(layers, student.config, training)
    prepare = TeacherBatches(student, teacher, layers, trial.precision, grid=kept.grid if kept else None)
    # Where no teacher hears the audio, a log-mel student needs its bins alone.
    bins = kept_bins(student.config.front_end)
    rows = trial.mels(bins) if kept and bins else None
    return with_cuts(prepare), {"rows": rows, "kept": kept}


def objective_of(trial: Trial[SupernetSettings]) -> Objective | None:
    """What the head of the supernet learns to read, and the teacher's head or a new one. None if it has no head.

    Only what the search judges is worth a head.
    """
    read = trial.settings.supernet.read_task(trial.judged)
    return trial.objective("auto", trained=False) if trial.objective and read else None


def reading_of(objective: Objective | None) -> Reading | None:
    """What the head for the task learns. None if there is none."""
    tokens = _tokens(objective)
    return Reading(objective.learner, tokens.unit) if objective and tokens else None


def _train(trial: Trial[SupernetSettings]) -> None:
    """Trains the supernet in the trial's folder, from its checkpoint if it has one."""
    settings, teacher = trial.settings, trial.teacher.encoder.config
    space = SliceSpace(settings.supernet, supernet_config(settings.supernet, teacher))
    encoder = _begun(trial)
    objective = objective_of(trial)
    tokens = _tokens(objective)
    heads = Heads(encoder.config, len(settings.distillation.layers), teacher.width, tokens.count if tokens else None)
    known = objective and heads.task is not None and _take_over(heads.task, objective.head, trial)
    module = Sandwich(Supernet(encoder), heads, settings, reading_of(objective))
    prepare, beside = lesson_batches(trial, encoder, settings.supernet)
    prepare = with_sub_networks(prepare, space, settings.supernet.drawn, trial.seed)
    shared = settings.supernet
    head_lr = shared.head_lr or (shared.lr if known else NEW_HEAD_LR)
    for _ in train_student(trial, module, prepare, shared, lr_scales={HEAD: head_lr / shared.lr}, **beside):
        pass
    with whole_file(trial.folder / HEADS_NAME) as part:
        save_file({name: x.detach().cpu().contiguous() for name, x in heads.state_dict().items()}, part)
    document = {
        "task": objective.task if objective else "",
        "unit": tokens.unit if tokens else "phones",
        "symbols": tokens.symbols if tokens else [],
        "settings": settings.supernet.model_dump(mode="json"),
    }
    write_whole(trial.folder / DOCUMENT_NAME, json.dumps(document))
    checkpoint.remove_all(trial.folder)


def _begun(trial: Trial[SupernetSettings]) -> Encoder:
    """The supernet before its training."""
    settings, teacher = trial.settings.supernet, trial.teacher.encoder
    config = supernet_config(settings, teacher.config)
    if settings.start == "blank":
        return initial_encoder(config, teacher, trial.corpus, trial.seed, settings.dropout)
    torch.manual_seed(trial.seed)
    encoder = Encoder(config, dropout=settings.dropout)
    encoder.load_state_dict((sort_units(teacher) if settings.sort == "magnitude" else teacher).state_dict())
    return encoder


def _tokens(objective: Objective | None) -> Tokens | None:
    if objective is None:
        return None
    assert isinstance(objective.head.config, CtcHeadConfig)
    return objective.head.config.tokens


@torch.no_grad()
def _take_over(task: OutputHead, found: ChosenHead, trial: Trial[SupernetSettings]) -> bool:
    """Begins as the teacher's own head, where the supernet begins as the teacher and that head reads its output.

    Returns whether it does.
    """
    if trial.settings.supernet.start != "teacher" or not isinstance(found.module, OutputHead):
        return False
    weight_VD = found.module.weight
    if trial.settings.supernet.sort == "magnitude":
        weight_VD = weight_VD[:, width_order(trial.teacher.encoder)]
    task.weight.copy_(weight_VD)
    task.bias.copy_(found.module.bias)
    return True


@lru_cache(maxsize=KEPT_IN_MEMORY)
def _load(folder: Path, blocks: int, teacher_width: int, device: torch.device) -> Trained:
    document = json.loads((folder / DOCUMENT_NAME).read_text(encoding="utf-8"))
    tokens = Tokens(document["unit"], tuple(document["symbols"]))
    encoder = load_encoder(folder / "student", device).eval()
    assert isinstance(encoder.config, EncoderConfig)
    heads = Heads(encoder.config, blocks, teacher_width, tokens.count if document["task"] else None)
    heads.load_state_dict(load_file(folder / HEADS_NAME))
    return Trained(encoder, heads.to(device), document["task"], tokens)
