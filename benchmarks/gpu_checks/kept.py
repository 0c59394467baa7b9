"""Hidden states of a teacher that are kept on disk, against a teacher that runs in every update.

Both must give a student the same targets. Then updates of DistilHuBERT are timed with each, in turn.

Shapes: B batch, L layers, T student frames, W teacher width.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pretrain_step import Ratio

from gpu_checks.check import Found, apart
from gpu_checks.device import Setting
from gpu_checks.encoders import kinds
from gpu_checks.speech import corpus
from raysearch.corpora.batches import TrainingBatches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.methods.features.regression import FeatureRegression, TeacherBatches
from raysearch.methods.features.settings import DistillationSettings
from raysearch.targets.kept_features import KeptFeatures, kept_features, kept_grid
from raysearch.targets.store import FolderStore
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run, Trainer

TOLERANCE = 1e-3
"""fp16 changes a number by at most 0.05 % of itself, and a GPU sums in another order in batches of other sizes."""
ROUNDS = 8


def check(setting: Setting, found: Found) -> None:
    # Convolutions over batches of other sizes may take kernels that round differently where 10 bits are allowed.
    torch.backends.cudnn.allow_tf32 = False
    rows, seconds = (2, 1.0) if setting.tiny else (8, 10.0)
    speech, batch_s = corpus([seconds] * 4 * rows), rows * seconds
    # Three blocks of the teacher are learned, as in the paper, or all of the tiny one.
    layers = [1, 2] if setting.tiny else [4, 8, 12]
    teacher = Encoder(kinds(setting.tiny)["waveform group"]).to(setting.device).eval().requires_grad_(False)
    student = kinds(setting.tiny, blocks=2)["log-mel"]
    with tempfile.TemporaryDirectory() as folder:
        store, began_s = FolderStore(Path(folder, "features")), time.perf_counter()
        grid = kept_grid(teacher.config, student)
        kept = kept_features(layers, grid, Teacher(teacher, "t"), speech, store, setting.device, batch_s)
        made_s = time.perf_counter() - began_s
        bytes_kept = sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
        found.row("states made", audio_s=4.0 * batch_s, layers=len(layers), seconds=made_s, mb=bytes_kept / 1e6)

        def way(states: KeptFeatures | None, precision: str) -> Way:
            module = FeatureRegression(Encoder(student), teacher.config.width, DistillationSettings(layers=layers))
            run = Run(Path(folder), setting.device, 0, precision, (ROUNDS + 1,), TrainingSettings(batch_s=batch_s))
            return Way(setting, speech, teacher, module, run, states)

        gap = apart(way(kept, "fp32").inputs()["targets_LBTW"], way(None, "fp32").inputs()["targets_LBTW"])
        found.row("targets", apart=gap)
        found.expect(gap < TOLERANCE, f"kept targets are {gap:.2g} apart; expected under {TOLERANCE:g}")
        online, read = way(None, setting.precision), way(kept, setting.precision)
        for turn in range(ROUNDS + 1):
            for one in (online, read) if turn % 2 else (read, online):
                one.take()
    # The first update claims memory and chooses kernels, and is not counted.
    online_s, read_s = online.seconds[1:], read.seconds[1:]
    found.row("update", online_s=statistics.median(online_s), kept_s=statistics.median(read_s))
    found.row("kept to online", **Ratio.of(online_s, read_s)._asdict())


class Way:
    """The updates of a student, on states that are kept or with the teacher in each."""

    def __init__(
        self,
        setting: Setting,
        speech: Corpus,
        teacher: Encoder,
        module: FeatureRegression,
        run: Run,
        kept: KeptFeatures | None,
    ) -> None:
        self.seconds: list[float] = []
        self._setting, self._trainer = setting, Trainer(run, module)
        grid = kept.grid if kept else None
        self._prepare = TeacherBatches(module.student, teacher, module.settings.layers, run.precision, grid=grid)
        cuts, readers = speech.splits["train"], 1 if setting.on_gpu else 0
        source, beside = (kept.rows(speech.audio), {"beside": kept.of}) if kept else (speech.audio, {})
        batches = TrainingBatches(cuts, source, run.settings.batch_s, 0, readers=readers, **beside)
        self._stream = batches.from_step(0)

    def inputs(self) -> Mapping[str, Any]:
        """The module's arguments for the next batch."""
        return self._prepare(self._trainer.step, next(self._stream))

    def take(self) -> None:
        """One update, from reading the batch to new weights."""
        self._setting.synchronise()
        began_s = time.perf_counter()
        self._trainer.update([self.inputs()])
        self._setting.synchronise()
        self.seconds.append(time.perf_counter() - began_s)
