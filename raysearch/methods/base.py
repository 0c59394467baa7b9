"""The contract of a method: one published way from teacher to student. Knows nothing of searches, Ray or MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from raysearch.encoder.config import AnyConfig
from raysearch.settings import Settings as AnySettings

if TYPE_CHECKING:
    import torch

    from raysearch.corpora.batches import Rows
    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.encoder import Encoder
    from raysearch.targets.label_set import LabelSet
    from raysearch.targets.pseudo_labels import PseudoLabels
    from raysearch.targets.settings import PseudoLabelSettings
    from raysearch.tasks.learner import Learner


@dataclass(frozen=True)
class Report:
    """What a trial says at a rung: `metrics` holds floats only, named like `eval/per`, `train/loss`."""

    step: int
    """Updates done so far."""
    metrics: Mapping[str, float]
    final: bool = False
    """True at the last rung: the student is trained to its budget and its checkpoint is complete."""


@dataclass(frozen=True)
class Teacher:
    """The encoder that is imitated: frozen and in eval mode, for ever."""

    encoder: Encoder
    key: str
    """Content hash of its weights: part of every label set's key."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Its own dev and test errors, so that fronts can mark it."""


@dataclass(frozen=True)
class Trial:
    """All that a method is given. Everything it writes goes to `folder`; a later run with the same folder resumes."""

    number: int
    settings: AnySettings
    """The method's own settings, validated."""
    corpus: Corpus
    teacher: Teacher
    label_set: Callable[..., LabelSet]
    """`label_set(settings)` builds the label set, or takes it from the store; a second argument is a teacher in place
    of the trial's own."""
    evaluate: Callable[..., Mapping[str, float]]
    """`evaluate(student, final)`: errors on dev (`eval/...`); with True also on test (`test/...`), for reports only. A
    third argument holds heads by task that were trained with the student, which then are judged as they are."""
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
    """As `label_set`, of whole cuts."""
    mels: Callable[[int], Rows | None] = lambda bins: None
    """The training split's log-mel bins in place of its audio, where they are kept."""
    learner: Callable[[], Learner | None] = lambda: None
    """What the task teaches, for methods that train a student for it; None where the task reads symbols."""


class Method(Protocol):
    """One file in this folder and one line in `METHODS`.

    Stopping: the caller closes the iterator between two reports. Resuming: a new `run` with the same folder starts from
    the checkpoint there and repeats no update before it.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[AnySettings]]

    @staticmethod
    def student(settings: AnySettings, teacher: AnyConfig) -> AnyConfig:
        """The student's architecture: pure and fast, so that cost is known before a trial is paid for."""

    def run(self, trial: Trial) -> Iterator[Report]: ...
