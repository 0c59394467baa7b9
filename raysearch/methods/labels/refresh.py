"""Labels that are made anew while a student learns them, as clusters of the student's own middle block.

Two things lie beside a trial's checkpoints. `refreshed/<updates>/` is the encoder whose clusters are the labels from
that update on, with the numbers that these have. `refreshed.json` holds the seconds that each refresh took.

Shapes: K clusters.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from raysearch.corpora.batches import Batch
from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.files.digest import content_digest
from raysearch.files.whole import whole_file, write_whole
from raysearch.methods.labels.batches import LabelledBatches
from raysearch.methods.labels.settings import LabelPredictionSettings
from raysearch.methods.trial import Trial
from raysearch.targets.label_set import LabelSet
from raysearch.targets.matching import matching_numbers
from raysearch.training.process import rank

# Two checkpoints are kept, since the newest may be damaged. Each needs the encoder that its labels were made of.
_KEPT = 2

_NUMBERS = "numbers.npy"

_log = logging.getLogger(__name__)


class RefreshedBatches:
    """Prepares batches like `LabelledBatches`. After every `targets.refresh` updates the student makes a new label set.

    These are HuBERT's iterations in one run: only the labels change, while weights, heads and schedule go on. K-means
    numbers its clusters at random, so each gets the number of the old cluster with which it shares most frames, and the
    heads go on with what they know. A resumed trial goes on with the labels that it had.
    Source: HuBERT, Hsu et al. 2021, section II-D. Deviation: there each iteration trains from nothing.
    """

    def __init__(self, trial: Trial[LabelPredictionSettings], student: Encoder, first: LabelSet) -> None:
        self._trial, self._student, self._settings = trial, student, trial.settings
        self._first = self._labels = first
        self._labelled = self._of(first)
        self._since = 0
        """Number of updates after which the labels in use were made."""
        self._folder = trial.folder / "refreshed"
        self._file = trial.folder / "refreshed.json"
        self._seconds = self._known_seconds()

    def __call__(self, step: int, batch: Batch) -> dict[str, Tensor]:
        since = step - step % self._settings.targets.refresh
        if since != self._since:
            self._labels = self._refreshed(since, now=since == step)
            self._labelled, self._since = self._of(self._labels), since
        return self._labelled(step, batch)

    def metrics(self) -> Mapping[str, float]:
        """The seconds that all refreshes took, those before a resume included."""
        return {"cost/refresh_s": sum(s for since, s in self._seconds.items() if int(since) <= self._since)}

    def _known_seconds(self) -> dict[str, float]:
        """The seconds of earlier refreshes, by updates. They are counted anew if their file is damaged."""
        try:
            found: dict[str, float] = json.loads(self._file.read_text())
            return dict(found)
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _of(self, label_set: LabelSet) -> LabelledBatches:
        return LabelledBatches(self._student, label_set, self._settings.prediction, self._trial.seed)

    def _refreshed(self, since: int, now: bool) -> LabelSet:
        """The label set of the student as it was after `since` updates.

        That is the student as it is `now`, or where a trial was resumed the one that lies on disk.
        """
        began_s = time.perf_counter()
        path = self._folder / f"{since:09d}"
        if now:
            # A copy, because a label set is made with a frozen encoder in eval mode.
            encoder = build_encoder(self._student.config).to(self._trial.device)
            encoder.load_state_dict(self._student.state_dict())
            if rank() == 0:
                save_encoder(encoder, path)
                self._drop_others(path)
        else:
            encoder = load_encoder(path, self._trial.device)
        targets = self._settings.targets.model_copy(update={"source": "teacher", "layer": _middle(encoder)})
        label_set = self._trial.label_set(targets, _teacher(encoder))
        label_set = replace(label_set, numbers_K=self._numbers(label_set, since, now))
        if now:
            self._seconds.setdefault(str(since), time.perf_counter() - began_s)
            _log.info("%s: update %d: labels refreshed in %.1f s", self._trial.folder, since, self._seconds[str(since)])
            if rank() == 0:
                write_whole(self._file, json.dumps(self._seconds))
        return label_set

    def _numbers(self, label_set: LabelSet, since: int, now: bool) -> NDArray[np.int64] | None:
        """The numbers (K) of the clusters that were made after `since` updates. None leaves them as they are."""
        file, before = self._folder / f"{since:09d}" / _NUMBERS, since - self._settings.targets.refresh
        if not now or not self._known(before):
            # Trials of older versions have no such file, and went on with k-means' own numbers.
            return np.load(file, allow_pickle=False) if file.exists() else None
        numbers_K = matching_numbers(label_set, self._labels_since(before))
        if rank() == 0:
            with whole_file(file) as part, part.open("wb") as opened:
                np.save(opened, numbers_K, allow_pickle=False)
        return numbers_K

    def _known(self, since: int) -> bool:
        """Whether the labels that were made after `since` updates can be had."""
        return since in (0, self._since) or (self._folder / f"{since:09d}").exists()

    def _labels_since(self, since: int) -> LabelSet:
        if since == self._since:
            return self._labels
        return self._refreshed(since, now=False) if since else self._first

    def _drop_others(self, newest: Path) -> None:
        """Removes all encoders but the two newest.

        Later ones than `newest` go too: they are left from a run that died, and will be made again.
        """
        others = sorted(self._folder.iterdir())
        kept = [path for path in others if path.name <= newest.name][-_KEPT:]
        for path in set(others) - set(kept):
            shutil.rmtree(path)


def _middle(encoder: Encoder) -> int:
    # HuBERT's second iteration clusters block 6 of 12.
    return (encoder.config.depth + 1) // 2


def _teacher(encoder: Encoder) -> Teacher:
    weights = {name: tensor.cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    return Teacher(encoder.eval().requires_grad_(False), content_digest(save(weights)))
