"""The trial that a method is given to work with. Its type names the method's own settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from raysearch.files.digest import content_digest
from raysearch.settings import Settings
from raysearch.targets.store import FolderStore

if TYPE_CHECKING:
    import torch

    from raysearch.corpora.batches import Rows
    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.config import EncoderConfig
    from raysearch.encoder.teacher import Teacher
    from raysearch.targets.kept_features import KeptFeatures
    from raysearch.targets.label_set import LabelSet
    from raysearch.targets.pseudo_labels import PseudoLabels
    from raysearch.targets.settings import PseudoLabelSettings, TargetSettings
    from raysearch.tasks.objective import Objective
    from raysearch.training.quantised import Quantised
    from raysearch.training.recipe import Evaluate
    from raysearch.training.settings import TrainingSettings

S = TypeVar("S", bound=Settings)


class LabelSets(Protocol):
    """A function that gives a trial its label sets."""

    def __call__(self, settings: TargetSettings, /, teacher: Teacher | None = None) -> LabelSet:
        """The label set that the settings describe, from the store or made now.

        A teacher that is given takes the place of the trial's own.
        """


class Objectives(Protocol):
    """A function that gives a trial the task that it trains its student for."""

    def __call__(self, unit: Literal["auto", "phones", "characters"], /, *, trained: bool = True) -> Objective:
        """The task, and the teacher's own head for it or, if `trained`, one that is trained on the teacher first."""


@dataclass(frozen=True)
class Trial(Generic[S]):
    """All that a method is given to train one configuration."""

    number: int
    """Number of the trial in its search."""
    settings: S
    """The method's own settings, already validated."""
    corpus: Corpus
    teacher: Teacher
    """The teacher, frozen and in eval mode."""
    label_set: LabelSets
    evaluate: Evaluate
    """The function that judges a student by the search's tasks."""
    rungs: tuple[int, ...]
    """Numbers of updates after which to report. The last one is the budget."""
    folder: Path
    """Folder for everything that the method writes. A later run with the same folder resumes."""
    device: torch.device
    seed: int
    precision: str = "fp32"
    """Number format of the training: `fp32`, `bf16` or `fp16`."""
    readers: int = 0
    """Number of processes that make batches ahead of the one that trains."""
    pseudo_labels: Callable[[PseudoLabelSettings], PseudoLabels] | None = None
    """Function that gives one label for each training cut or piece of one, from the store or made now."""
    mels: Callable[[int], Rows | None] = lambda bins: None
    """Function from the number of log-mel bins to those of the training split. None where they are not kept, and then
    batches are made of audio."""
    kept_features: Callable[[list[int], EncoderConfig, TrainingSettings], KeptFeatures | None] = (
        lambda layers, student, training: None
    )
    """Function from layers of the teacher, numbered from 0, the student and its settings of training to the hidden
    states of these layers on the training split. None where they are not kept, and the teacher runs in every update."""
    objective: Objectives | None = None
    """Function from what a CTC head shall read to the task that methods train a student for, with a head that knows
    it. `auto` is what the search judges. Without the function a student learns to read, and its head starts from
    nothing."""
    judged: tuple[str, ...] = ()
    """Names of the tasks that students are judged on."""
    trainings: FolderStore | None = None
    """Where trainings are kept that trials share. Without it each trial does its own."""
    search_seed: int = 0
    """Seed of what all trials of the search share."""
    quantised: Quantised | None = None
    """The values of the student that have 8 bits in the last updates, if it is trained for such a file."""

    def once(self, what: str, updates: int, train: Callable[[Trial[S]], None]) -> Path:
        """The folder of a training that is done once for all trials that ask for the same.

        `what` says all that decides it, beside teacher, corpus, seed and precision. `train` is given a trial of its
        own: a folder, the search's seed, the updates as its only rung, and nothing that judges. If it is killed, a
        later call gives it the same folder. Of several processes one trains, and the others wait for it. What the
        training took, over all attempts, lies in the folder (see `read_spent`).
        """
        from raysearch.training.monitoring.spent import spending
        from raysearch.training.process import alone
        from raysearch.training.recipe import not_evaluated

        decides = (what, str(updates), self.teacher.key, self.corpus.fingerprint, str(self.search_seed), self.precision)

        def within(folder: Path) -> None:
            own = replace(self, folder=folder, seed=self.search_seed, rungs=(updates,), evaluate=not_evaluated)
            own = replace(own, quantised=None)  # the files of those who share it may have any precision
            with alone(), spending(folder):
                train(own)

        trainings = self.trainings or FolderStore(self.folder / "trainings")
        return trainings.get_or_train(content_digest("\n".join(decides)), within)
