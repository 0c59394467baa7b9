"""The contract of a task: what a student is judged on. Knows nothing of searches, Ray or MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from raysearch.tasks.score import Score

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.encoder import Encoder


class SavableHead(Protocol):
    """A trained head, and the encoder if it was trained with it."""

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Evaluated:
    """Errors of one encoder. Dev chose whatever there was to choose; test only reports."""

    dev: Score
    test: Score | None
    details: Mapping[str, float] = field(default_factory=dict)
    """Of CTC: `lr` (chosen), `lr_at_edge` and `collapsed` (0 or 1), `at_lr_X` (dev error of each rate); of train,
    `unlabelled` (cuts left out) and `infeasible` (cuts too short for their targets: they teach nothing). Of classes and
    slots: `labels` (cuts whose labels were used). Of speakers: `min_dcf_pX`, the least detection cost on dev where a
    target's prior is X."""
    head: SavableHead | None = field(default=None, compare=False)
    """The head whose errors these are, for those who want to keep it."""
    draw: Callable[[Path], None] | None = field(default=None, compare=False)
    """Draws the errors into a PNG, where a task has a picture of them."""


class Task(Protocol):
    name: ClassVar[str]
    """As a search document calls it: `asr`, `phonemes`, ..."""
    metric: ClassVar[str]
    """Name of the error in reports: `wer`, `per`, `eer`, ..."""

    def evaluate(self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int) -> Evaluated:
        """Trains a head on the train split and scores it on dev, and on test if asked. The encoder is left as it was.

        Raises: InputError if a split that is needed is missing or lacks what the task reads.
        """


@runtime_checkable
class Judge(Protocol):
    """A task that can also judge an encoder by a head that was trained with it."""

    def judge(
        self, encoder: Encoder, head: Any, corpus: Corpus, *, test: bool, device: torch.device, seed: int
    ) -> Evaluated: ...
