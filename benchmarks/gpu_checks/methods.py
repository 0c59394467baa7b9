"""Every method makes two updates in bf16 and in fp16: its losses are numbers, and each update changes the weights.

In fp16 the scaler leaves updates out until it has found a scale at which gradients are numbers. A method that has taken
none of its two is trained again for twelve: those that prune begin with a new scaler half-way.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from gpu_checks.check import Found
from gpu_checks.device import Setting
from gpu_checks.speech import corpus, labels_of
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.build import build_encoder
from raysearch.encoder.teacher import Teacher
from raysearch.methods.settings import StudentSettings
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.targets.pseudo_labels import PseudoLabels
from raysearch.training.recipe import not_evaluated

CLASSES = 4
UPDATES = (2, 12)
"""Updates of a trial, and of a second one where all of the first overflowed."""
SMALL = {"depth": 2, "width": 32, "heads": 2, "channels": 16, "position_kernel": 5}
TRAINING = {"batch_s": 6.0, "lr": 1e-3}
LABELS = {"student": SMALL, "targets": {"clusters": CLASSES}, "training": TRAINING}
PRUNING = {"pruning": {"share": 0.5}, "training": TRAINING}
SPEAKERS = {
    "student": {"blocks": 2},
    "adapter": {"width": 4},
    "backend": {"kind": "linear", "embedding": 8},
    "training": {**TRAINING, "crop_s": 0.5},
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "hubert": LABELS,
    "dicehubert": LABELS,
    "fasthubert": LABELS,
    "distilhubert": {"student": SMALL, "distillation": {"layers": [1, 2]}, "training": TRAINING},
    "armhubert": {"student": {**SMALL, "time_reduction": 2}, "training": TRAINING},
    "starhubert": {"student": SMALL, "training": TRAINING},
    "hjpruning": PRUNING,
    "dphubert": {**PRUNING, "distillation": {"layers": [0, 1, -1]}},
    "supernet": {
        "student": {"depth": 1, "width": 16},
        "supernet": {**TRAINING, "updates": 3, "smallest": {"width": 16}},
        "distillation": {"layers": [1, 2]},
        "training": TRAINING,
    },
    "oskdft": SPEAKERS,
    "kd-then-ft": {**SPEAKERS, "distillation": {"share": 0.5}},
    "ft-only": SPEAKERS,
    "unfused": {**LABELS, "student": {**SMALL, "kind": "transformer"}},
}


@dataclass
class Updates:
    """What became of the updates of all optimisers while it was watching."""

    taken: int = 0
    overflowed: int = 0
    """Updates that were left out, as those of fp16 are while the scaler looks for its scale."""
    idle: int = 0
    """Updates with sound gradients that changed no weight."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the updates of all optimisers are counted."""
        before: list[Tensor] = []

        def first(optimiser: Optimizer, *_: Any) -> None:
            before[:] = [x.detach().clone() for x in _learned(optimiser)]

        def then(optimiser: Optimizer, *_: Any) -> None:
            self.taken += 1
            learned = _learned(optimiser)
            if not all(bool(x.grad.isfinite().all()) for x in learned if x.grad is not None):
                self.overflowed += 1
            elif all(torch.equal(new, old) for new, old in zip(learned, before, strict=True)):
                self.idle += 1

        hooks = register_optimizer_step_pre_hook(first), register_optimizer_step_post_hook(then)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _learned(optimiser: Optimizer) -> list[Tensor]:
    """The parameters that have a gradient."""
    return [x for group in optimiser.param_groups for x in group["params"] if x.grad is not None]


def check(setting: Setting, found: Found) -> None:
    speech = corpus([1.0 + 0.5 * (number % 3) for number in range(10)])
    with tempfile.TemporaryDirectory() as folder:
        for name in setting.methods:
            for precision in ("bf16", "fp16"):
                with found.part(f"{name} {precision}"):
                    _train(name, precision, speech, setting.device, Path(folder), found)


def _train(name: str, precision: str, speech: Corpus, device: torch.device, folder: Path, found: Found) -> None:
    row = f"{name} {precision}"
    for count in UPDATES:
        updates = Updates()
        with updates.watching():
            losses = _losses(name, precision, speech, device, folder / f"{row} {count}", count)
        if updates.overflowed < updates.taken:
            break
    found.row(row, loss=losses[0], then=losses[-1], updates=updates.taken, overflowed=updates.overflowed)
    found.expect(all(map(math.isfinite, losses)), f"{row}: losses {losses}; expected numbers")
    found.expect(updates.taken >= count, f"{row}: {updates.taken} updates; expected {count}")
    found.expect(not updates.idle, f"{row}: {updates.idle} of the updates changed no weight")
    # Only fp16 has a scaler, which leaves an update out and tries again with a smaller scale.
    most = updates.taken - 1 if precision == "fp16" else 0
    found.expect(
        updates.overflowed <= most,
        f"{row}: {updates.overflowed} of {updates.taken} updates with gradients that are no numbers",
    )


def _losses(name: str, precision: str, speech: Corpus, device: torch.device, folder: Path, updates: int) -> list[float]:
    """The loss of each update of a trial of this method."""
    method = load_method(name)
    torch.manual_seed(0)
    teacher = build_encoder(StudentSettings(**SMALL).encoder()).to(device).eval().requires_grad_(False)
    classes = {cut.id: number % CLASSES for number, cut in enumerate(speech.splits["train"])}
    trial = Trial(
        number=0,
        settings=method.Settings.model_validate(DOCUMENTS[name]),
        corpus=speech,
        teacher=Teacher(teacher, "t"),
        label_set=lambda settings, /, teacher=None: labels_of(speech, settings),
        evaluate=not_evaluated,
        rungs=(1, updates),
        folder=folder,
        device=device,
        seed=1,
        precision=precision,
        pseudo_labels=lambda _: PseudoLabels(CLASSES, classes, {}),
    )
    for _ in method().run(trial):
        pass
    lines = (folder / "curve.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"]["train/loss"] for line in lines]
