"""Exports the trials of one search and measures the exported files, which are what is shipped.

Which trial to export is decided elsewhere: see `choosing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.choosing import ExportCost
from raysearch.deploy.export import export_trial, find_trial, source_digests
from raysearch.deploy.layouts.readme import README_NAME, readme
from raysearch.deploy.manifest import CHECKPOINT_NAME, Manifest, Measured, load_manifest
from raysearch.deploy.runtime.transcribe import MANIFEST_NAME
from raysearch.encoder.checkpoint import CONFIG_NAME
from raysearch.encoder.document import read_config
from raysearch.errors import InputError
from raysearch.exported.latency import Load, measure_latency
from raysearch.exported.measure import hearing, measure_error, measured_cuts
from raysearch.exported.onnx_file import layout, onnx_name
from raysearch.exported.runners import run_file
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.front.objective import axes
from raysearch.front.trials import TrialRecord
from raysearch.storage.folder import SearchFolder


class MeasuredExports:
    """The exports of one search. Each is made once and kept, as in `ROOT/NAME/exports/0007-phonemes/`."""

    def __init__(
        self,
        folder: SearchFolder,
        precisions: Sequence[Precision],
        load: Load,
        say: Callable[[str], None],
        objective: str | None = None,
    ) -> None:
        """Without `precisions` each trial has the one that it was judged in. `load` is what latencies are measured
        under; `say` is told what is being done.

        Exports have the head of the task whose error is the `objective`, and without such a task that of the first
        error that was searched for.
        """
        self.folder = folder
        self._precisions = list(dict.fromkeys(precisions))  # a precision that is named twice is made once
        self._load = load
        self._say = say
        spec = self._spec = folder.spec()
        self._seed = spec.search.seed
        tasks = {task.metric: task.kind for task in spec.tasks}
        self._task = tasks.get(objective or "") or tasks[axes(spec.objectives)[1]]
        self._corpus: Corpus | None = None

    @property
    def corpus(self) -> Corpus:
        """The search's corpus, which is read when it is first asked for."""
        if self._corpus is None:
            self._corpus = read_corpus(self.folder.spec().corpus, self.folder.store.corpora)
        return self._corpus

    def export(self, number: int) -> Path:
        """The folder of the trial's export, which is made unless it is there already.

        Raises: InputError if an export of other formats, or of weights that have changed since, is in its place, or if
        latency is to be measured on longer recordings than the encoder takes.
        """
        out = self._made(number)
        longest_s = read_config(out / CHECKPOINT_NAME / CONFIG_NAME).longest_s
        if self._load.seconds > longest_s:
            raise InputError(
                f"--seconds: {self._load.seconds:g}; expected at most {longest_s:g}, for which trial {number} has "
                "positions"
            )
        return out

    def _made(self, number: int) -> Path:
        out = self.folder.path / "exports" / f"{number:04d}-{self._task}"
        precisions = self._precisions_of(number)
        wanted = [onnx_name(precision) for precision in precisions]
        if (out / MANIFEST_NAME).exists():
            manifest = load_manifest(out)
            fresh = manifest.source == source_digests(self.folder.trial(number), self._task)
            # Another export is not overwritten, since it may have been verified or registered.
            if fresh and set(wanted) <= set(manifest.files):
                return out
            raise InputError(f"{out}: an export of other formats or weights; expected none: remove it and pick again")
        out.parent.mkdir(exist_ok=True)
        export_trial(self.folder, number, out, task=self._task, precisions=precisions, say=self._say)
        return out

    def _precisions_of(self, number: int) -> list[Precision]:
        return self._precisions or [self._spec.deploy_of(find_trial(self.folder, number).config).precision]

    def cost(self, member: TrialRecord) -> ExportCost:
        """Size and latency of the trial's exported file, in the first of its precisions.

        They are those that the search has measured on its device, where it measured the same. Else the trial is
        exported, and measured here.
        """
        if (known := self._known(member)) is not None:
            return known
        file = self.export(member.number) / onnx_name(self._precisions_of(member.number)[0])
        latency = measure_latency(run_file(file, self._load.threads), self._load)
        return ExportCost(size_mb=file.stat().st_size / 1e6, latency_ms=latency.median_ms)

    def _known(self, member: TrialRecord) -> ExportCost | None:
        device, cost = self._spec.measured_on, member.cost
        # A pruned student is not quite the shape whose file was measured before its trial.
        if device is None or device.load != self._load or "cost/macs_g" in member.metrics:
            return None
        precision = self._spec.deploy_of(member.config).precision
        if precision != (self._precisions or [precision])[0] or cost.latency_ms is None:
            return None
        return ExportCost(size_mb=cost.of("size"), latency_ms=cost.of("latency"))

    def measure(self, number: int) -> Manifest:
        """Measures the trial's exported files on the test split and on this machine. The manifest keeps the figures."""
        out = self.export(number)
        manifest = load_manifest(out)
        files = [out / onnx_name(precision) for precision in self._precisions_of(number)]
        rows = [self._row(file, manifest.metric) for file in files]
        manifest = manifest.model_copy(update={"measured": rows})
        manifest.save(out)
        recogniser = Recogniser.load(out / CHECKPOINT_NAME)
        card = readme(manifest, find_trial(self.folder, number), self.folder.spec(), recogniser)
        (out / README_NAME).write_text(card, encoding="utf-8")
        return manifest

    def _row(self, file: Path, metric: str) -> Measured:
        recogniser = Recogniser.load(file.parent / CHECKPOINT_NAME)
        torch.set_num_threads(self._load.threads)
        meaning = layout(recogniser)
        self._say(f"{file.name}: measuring on {len(measured_cuts(self.corpus, 'test', meaning))} test cuts")
        run = run_file(file, self._load.threads)
        error, groups = measure_error(hearing(run, meaning), meaning, self.corpus, "test", self._seed)
        return Measured(
            file=file.name,
            size_bytes=file.stat().st_size,
            metric=metric,
            split="test",
            error=error,
            groups=groups,
            latency=measure_latency(run, self._load),
        )
