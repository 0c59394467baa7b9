"""The contract of a task: what a student is judged on. Knows nothing of searches, Ray or MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from raysearch.tasks.score import Score

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.encoder import Encoder


class KeptHead(Protocol):
    """A trained head, and the encoder if it was trained with it."""

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Evaluated:
    """Errors of one encoder. Dev chose whatever there was to choose; test only reports."""

    dev: Score
    test: Score | None
    details: Mapping[str, float] = field(default_factory=dict)
    """`lr` (chosen), `lr_at_edge` and `collapsed` (0 or 1), `at_lr_X` (dev error of each rate); of train,
    `unlabelled` (cuts left out) and `infeasible` (cuts too short for their targets: they teach nothing), or `labels`
    (cuts whose labels were used)."""
    head: KeptHead | None = field(default=None, compare=False)
    """The head whose errors these are, for those who want to keep it."""


class Task(Protocol):
    name: ClassVar[str]
    """As a search document calls it: `asr`, `phonemes`, ..."""
    metric: ClassVar[str]
    """Name of the error in reports: `wer`, `per`, `eer`, ..."""

    def evaluate(self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int) -> Evaluated:
        """Trains a head on the train split and scores it on dev, and on test if asked. The encoder is left as it was.

        Raises: InputError if a split that is needed is missing or lacks what the task reads.
        """
