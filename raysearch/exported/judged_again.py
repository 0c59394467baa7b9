"""Judges the student of another trial again, by a file of another precision. Nothing is trained for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from raysearch.corpora.corpus import Corpus
from raysearch.errors import WorkError
from raysearch.evidence.kept import FILE, read_evidence, write_evidence
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.evidence.texts import read_texts, write_texts
from raysearch.exported.settings import DeploySettings
from raysearch.exported.shipped import file_scores
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.score import ENDS
from raysearch.tasks.table import UNSHIPPED
from raysearch.tasks.task import Task
from raysearch.training.report import REPORT_NAME, Report, read_report, write_report

T = TypeVar("T")
LEFT = ("checkpoints", REPORT_NAME, FILE, TEXTS)
"""What a trial does not take over: it trains no further, and is judged by itself."""
SPLITS = {"dev": "eval", "test": "test"}
"""What errors on a split are called in reports."""


def judge_again(
    folder: Path, trained: Path, deploy: DeploySettings, tasks: Iterable[Task], corpus: Corpus, seed: int, threads: int
) -> Report:
    """The last report of a trial whose student is that of the complete trial in the folder `trained`.

    Student, heads and curve are copied into `folder`. A trial that was killed meanwhile begins again.
    Raises: WorkError if the other trial's report is gone.
    """
    if (own := read_report(folder)) is not None:
        return Report(*own, final=True)
    if (theirs := read_report(trained)) is None:
        raise WorkError(f"{trained / REPORT_NAME}: gone or damaged; expected the report of a complete trial")
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(*LEFT), dirs_exist_ok=True)
    step, metrics = theirs[0], own_errors(theirs[1])
    evidence, texts = own_errors(read_evidence(trained / FILE)), own_errors(read_texts(trained / TEXTS))
    for task in tasks if deploy.precision != "fp32" else ():
        recogniser = Recogniser.of_trial(folder, task.name)
        scores = file_scores(recogniser, deploy.precision, corpus, list(SPLITS), seed, threads)
        for split, score in scores.items():
            name = f"{SPLITS[split]}/{task.metric}"
            of_file, of_student = score.metrics(name), score.metrics(name, UNSHIPPED)
            for key, aside in zip(of_file, of_student, strict=True):
                _put(metrics, key, aside, of_file[key])
            _put(evidence, name, name + UNSHIPPED, score.judged)
            _put(texts, name, name + UNSHIPPED, score.texts)
    write_evidence(folder / FILE, evidence)
    write_texts(folder / TEXTS, texts)
    # Last of all: a report says that the rest is there.
    write_report(folder, step, metrics)
    return Report(step, metrics, final=True)


def _put(kept: dict[str, T], name: str, aside: str, found: T | None) -> None:
    """Puts what was found of the file in the place of what the student has, which goes aside."""
    if name in kept:
        kept[aside] = kept.pop(name)
    if found is not None:
        kept[name] = found


def own_errors(named: Mapping[str, T]) -> dict[str, T]:
    """What was found of the student itself, under the names of errors, whether its file was judged in its place or not.

    What is called otherwise stays as it is.
    """
    ends = tuple(UNSHIPPED + end for end in ENDS)
    found = {key: value for key, value in named.items() if not key.endswith(ends)}
    for end in ENDS:
        aside = UNSHIPPED + end
        found |= {key.removesuffix(aside) + end: value for key, value in named.items() if key.endswith(aside)}
    return found
