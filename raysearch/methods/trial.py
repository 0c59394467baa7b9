"""What a method is given to work with: one trial, typed by the method's own settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from raysearch.settings import Settings

if TYPE_CHECKING:
    import torch

    from raysearch.corpora.batches import Rows
    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.teacher import Teacher
    from raysearch.targets.label_set import LabelSet
    from raysearch.targets.pseudo_labels import PseudoLabels
    from raysearch.targets.settings import PseudoLabelSettings, TargetSettings
    from raysearch.tasks.learner import Learner
    from raysearch.training.recipe import Evaluate

S = TypeVar("S", bound=Settings)


class LabelSets(Protocol):
    """Where a trial gets its label sets from."""

    def __call__(self, settings: TargetSettings, /, teacher: Teacher | None = None) -> LabelSet:
        """The label set that the settings describe, from the store or made now. A teacher that is given takes the
        place of the trial's own."""


@dataclass(frozen=True)
class Trial(Generic[S]):
    """All that a method is given. Everything it writes goes to `folder`; a later run with the same folder resumes."""

    number: int
    settings: S
    """The method's own settings, validated."""
    corpus: Corpus
    teacher: Teacher
    label_set: LabelSets
    evaluate: Evaluate
    rungs: tuple[int, ...]
    """Updates after which to report; the last one is the budget."""
    folder: Path
    device: torch.device
    seed: int
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`."""
    readers: int = 0
    """Processes that make batches ahead of this one."""
    pseudo_labels: Callable[[PseudoLabelSettings], PseudoLabels] | None = None
    """One label for each whole recording or piece of one, from the store or made now."""
    mels: Callable[[int], Rows | None] = lambda bins: None
    """The training split's log-mel bins in place of its audio, where they are kept."""
    learner: Callable[[], Learner | None] = lambda: None
    """What the task teaches, for methods that train a student for it; None where the task reads symbols."""
