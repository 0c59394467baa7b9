"""The contract of a task, which is what a student is judged on. This file knows nothing of searches, Ray or MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from raysearch.tasks.score import Score

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.config import AnyConfig
    from raysearch.encoder.encoder import Encoder
    from raysearch.tasks.head import ChosenHead


class SavableHead(Protocol):
    """A trained head that can be written to a folder, together with the encoder if that was trained with it."""

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Evaluated:
    """The errors of one encoder. The dev split chose whatever there was to choose, and test only reports."""

    dev: Score
    test: Score | None
    """The error on the test split. None if it was not asked for."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Figures beside the errors, by name.

    Tasks with CTC heads: `lr` is the chosen learning rate, and `lr_at_edge` is 1 if it is the lowest or the highest.
    `collapsed` is 1 if the head reads nothing but blanks. `at_lr_X` is the dev error with the rate X. `unlabelled`
    counts the training cuts that were left out, and `infeasible` those that teach nothing, as they are too short for
    their targets.

    Classification and intent: `lr`, `lr_at_edge` and `at_lr_X` as above, and `labels`, the number of cuts whose labels
    were used.

    Speaker verification: `min_dcf_pX` is the least detection cost on dev, where the prior of a target pair is X.
    """
    head: SavableHead | None = field(default=None, compare=False)
    """The head whose errors these are, for those who want to keep it."""
    draw: Callable[[Path], None] | None = field(default=None, compare=False)
    """Draws the errors into a PNG. None if the task has no picture of them."""


class Task(Protocol):
    """What a student is judged on: it trains a head on the student's hidden states and measures the head's error."""

    name: ClassVar[str]
    """Name of the task in a search document, for example `asr` or `phonemes`."""
    metric: ClassVar[str]
    """Name of the error in reports, for example `wer`, `per` or `eer`."""

    def check(self, corpus: Corpus, encoders: Sequence[AnyConfig]) -> list[str]:
        """What is doubtful about a corpus for this task, in a line each. It is asked before anything is trained.

        `encoders` are shapes of those that will be judged, as far as they are known.
        Raises: InputError if a split lacks what the task reads, so that no encoder can be judged.
        """

    def evaluate(
        self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int, precision: str = "fp32"
    ) -> Evaluated:
        """Trains a head on the train split and scores it on dev, and on test if asked. The encoder stays as it was.

        Where the encoder is not trained it runs in `precision`. Heads are trained, and read, in full precision.

        Raises: InputError if a split that is needed is missing or lacks what the task reads.
        """

    def new_head(self, corpus: Corpus, encoder: AnyConfig) -> ChosenHead:
        """A head for the corpus that has learned nothing yet: what a student is shipped with, before it is trained.

        Raises: InputError if the corpus has no one head.
        """


@runtime_checkable
class Judge(Protocol):
    """A task that can also judge an encoder by a head that was trained with it."""

    def judge(
        self,
        encoder: Encoder,
        head: Any,
        corpus: Corpus,
        *,
        test: bool,
        device: torch.device,
        seed: int,
        precision: str = "fp32",
    ) -> Evaluated:
        """The errors of the encoder with this head. Nothing is trained."""
