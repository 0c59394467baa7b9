"""Where a search stands: whether a driver lives, what it does, and how one that has none goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from raysearch.search.study import ENDED_BY, Study
from raysearch.storage.folder import SearchFolder
from raysearch.storage.holder import Holder
from raysearch.storage.lease import living_driver
from raysearch.storage.stage import Stage, read_stage
from raysearch.storage.studies import open_storage
from raysearch.training.monitoring.progress import Step

DOING = {
    "starting": "starting",
    "teacher": "training its teacher",
    "shared": "training what its trials share",
    "shapes": "measuring what its students are charged",
    "trials": "running",
}
"""What a living driver does, in words, by the phase that it wrote down."""


@dataclass(frozen=True)
class Standing:
    """Where a search stands now."""

    state: Literal["running", "interrupted", "failed", "done"]
    doing: str = ""
    """What its driver does, in words. Empty if there is none."""
    driver: str = ""
    """Process of its driver. Empty if there is none."""
    works: Mapping[str, Step] = field(default_factory=dict)
    """How far each piece of work is that goes on, by its place."""
    reason: str = ""
    """Why it failed, or why it is done before all trials have run that were asked for."""
    resume: str = ""
    """The command that goes on with it. Empty if nothing is left to do, or a driver lives."""

    def document(self) -> dict[str, Any]:
        """The standing as JSON can hold it. Of each work it says in how many seconds it will be done."""
        works = {place: {**asdict(step), "left_seconds": step.left_s} for place, step in self.works.items()}
        return {**asdict(self), "works": works}

    def __str__(self) -> str:
        if self.state == "running":
            return "; ".join([self.doing, *(f"{place}: {step}" for place, step in self.works.items())])
        line = f"{self.state}: {self.reason}" if self.reason else self.state
        return f"{line}; continue with: {self.resume}" if self.resume else line


def read_standing(folder: SearchFolder, study: Study | None, *, finished: bool, running: Collection[int]) -> Standing:
    """Where the search in `folder` stands.

    `finished` says whether it has all trials that it was asked for, `running` which of them have not ended.
    """
    stage = read_stage(folder.path) or Stage("trials" if study else "starting")
    ended_by = str((study and study.about.get(ENDED_BY)) or "")
    if driver := _driver(folder, study):
        places = {"teacher", "shared", *(f"trial {number}" for number in running)}
        works = {place: step for place, step in stage.works.items() if place in places}
        return Standing("running", DOING.get(stage.phase, "starting"), str(driver), works)
    # One that was ended by its budget may have trials that wait for more.
    finished = finished or (stage.phase == "done" and (not running or bool(ended_by)))
    resume = "" if finished else folder.resume_command
    # A search may have run all its trials and have failed none the less, because all of them did.
    if stage.phase == "failed":
        return Standing("failed", reason=stage.reason, resume=resume)
    return Standing("done" if finished else "interrupted", reason=ended_by if finished else "", resume=resume)


def _driver(folder: SearchFolder, study: Study | None) -> Holder | None:
    """The driver that lives. Looking for it leaves no trace."""
    if study is not None:
        return living_driver(study.storage, study.name)
    storage = folder.study_storage()
    # Optuna would make the file.
    if "://" not in storage and not Path(storage).exists():
        return None
    return living_driver(open_storage(storage), folder.study_name)
