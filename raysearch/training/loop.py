"""The one training loop: updates, curve, checkpoints, rungs. It knows no method and no task.

A run's folder holds `checkpoints/` to resume from, `student/` (the encoder at the last rung), `report.json` (the report
of that rung) and `curve.jsonl`. A run that resumes gives what an uninterrupted one gives, on a CPU bit for bit.

Shapes: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from raysearch.corpora.batches import Batch
from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import WorkError
from raysearch.training.monitoring.asking import Asking
from raysearch.training.monitoring.curve import CURVE_NAME, Curve
from raysearch.training.monitoring.meter import Meter
from raysearch.training.monitoring.progress import tell
from raysearch.training.monitoring.spans import span, watch
from raysearch.training.monitoring.utilisation import peak_flops
from raysearch.training.process import as_first, rank
from raysearch.training.recipe import Recipe
from raysearch.training.report import Report, read_report, write_report
from raysearch.training.trainer import Run, Trainer

LOG_UPDATES = 50
"""Most updates from one line of the curve to the next. Metrics leave the device only then."""
LEAST_LINES = 20
"""Lines that the curve of a short run has at least, as far as it has so many updates."""


class DivergedError(WorkError):
    """The loss or its gradient is no longer a number. The last checkpoint is from before that."""


def fit(run: Run, recipe: Recipe) -> Iterator[Report]:
    """Trains to the last rung and yields a report at each rung.

    If `run.folder` holds a checkpoint, training goes on from there. If that checkpoint lies at a rung, its report is
    yielded again, because it may have been lost. The process of rank 0 writes. All processes evaluate, which is how
    a task can share its work out, and have the same reports.

    Raises: DivergedError at the next line of the curve, if the loss or its gradient is no longer a number;
    OverTimeError or DrainedError, after an update within about a second and with its checkpoint, if the time is over
    that the trial may take, or a machine goes on which it runs.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(run, recipe.module)
    unread = trainer.resume()
    watch(trainer.student)
    curve = Curve(run.curve or run.folder / CURVE_NAME)
    metrics = curve.keep_to(trainer.step) if rank() == 0 else {}
    if trainer.step in run.rungs:
        yield _report(run, trainer, metrics, recipe)
    # The stream counts batches, of which an update takes `accumulate`.
    stream = recipe.batches.from_step(trainer.step * run.settings.accumulate)
    meter = Meter(trainer.student.config, peak_flops(run.device, run.precision))
    if unread:
        meter.go_on(unread)
    asking = Asking(trainer.step)
    every = max(1, min(LOG_UPDATES, (run.budget - run.start) // LEAST_LINES))
    while trainer.step < run.budget:
        tell("training", trainer.step, run.budget, loss=metrics.get("train/loss"))
        # Read before the update, because afterwards it is the rate of the next one.
        lr = trainer.lr
        meter.add(trainer.update(_prepared(run, trainer.step, recipe, stream, meter)))
        saving = trainer.step in run.rungs or trainer.step % run.settings.checkpoint_updates == 0
        # Every checkpoint ends a line of the curve, so that a resumed run averages over the same updates.
        with span("reporting"):
            if saving or trainer.step % every == 0:
                means, elapsed_s = meter.read()
                trainer.seconds += elapsed_s
                metrics = _finite({**means, "train/lr": lr}, run, trainer.step)
                if rank() == 0:
                    curve.append(trainer.step, trainer.seconds, metrics)
            if saving and rank() == 0:
                trainer.save()
        # All processes end at the same update: one that went on would wait for the others for ever.
        if asking.due(trainer.step) and (ended := asking.ask(trainer.step, run.budget)):
            unread = meter.unread()
            if not saving and rank() == 0:
                trainer.save(unread)
            raise ended
        if trainer.step in run.rungs:
            yield _report(run, trainer, metrics, recipe)
        if saving:
            meter.restart()  # time spent on saving and judging is no time of training


def _prepared(
    run: Run, step: int, recipe: Recipe, stream: Iterator[Batch], meter: Meter
) -> Iterator[Mapping[str, Any]]:
    """The arguments of the module for each batch of an update."""
    for _ in range(run.settings.accumulate):
        with span("batch"):
            batch = next(stream)
        with span("labels and masks"):
            inputs = recipe.prepare(step, batch)
        meter.hear(inputs["samples_B"])
        yield inputs


def _finite(metrics: dict[str, float], run: Run, step: int) -> dict[str, float]:
    """The metrics, if all are numbers.

    In fp16 an infinite gradient is left out. It is normal there: by such gradients the scaler finds its scale.
    Raises: DivergedError if another metric is not a number.
    """
    bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if run.precision == "fp16":
        bad.pop("train/grad_norm", None)
    if bad:
        figures = ", ".join(f"{name} is {value}" for name, value in bad.items())
        raise DivergedError(
            f"training diverged before update {step} ({figures}); lower training.lr or training.clip, or use fp32"
        )
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _report(run: Run, trainer: Trainer, train: Mapping[str, float], recipe: Recipe) -> Report:
    """The report at a rung. It is read from disk if it was made before, else the student is judged."""
    step, final = trainer.step, trainer.step == run.budget
    # The student is judged as it lies on disk, so that the report holds for the files that are shipped.
    student = saved(trainer.student, run.folder / "student", run.device)
    # Only rank 0 is sure to have the folder, and all must judge, or none.
    old = as_first(_old_report(run.folder, step))
    if old is not None:
        return Report(step, old, final)
    errors = recipe.evaluate(student, final, recipe.heads)
    metrics = as_first({**train, **errors, **recipe.more(student), **_batch(run)})
    if rank() == 0:
        write_report(run.folder, step, metrics)
    return Report(step, metrics, final)


def saved(encoder: Encoder, folder: Path, device: torch.device) -> Encoder:
    """The encoder in eval mode, as it now lies in `folder`. The process of rank 0 has written it there."""
    if rank() == 0:
        save_encoder(encoder, folder)
        return load_encoder(folder, device).eval()
    # Another node may have no copy of the folder. The weights are the same in all processes.
    copy = build_encoder(encoder.config).to(device)
    copy.load_state_dict(encoder.state_dict())
    return copy.eval()


def _old_report(folder: Path, step: int) -> dict[str, float] | None:
    """The metrics of an earlier report at this step. None if there is none that can be read: the student is judged."""
    old = read_report(folder)
    return old[1] if old is not None and old[0] == step else None


def _batch(run: Run) -> dict[str, float]:
    """The seconds in a batch and the batches in an update. On a GPU they may differ from what the document asks for."""
    return {"train/batch_s": run.settings.batch_s, "train/accumulate": float(run.settings.accumulate)}
