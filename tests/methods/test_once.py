"""A training that trials share: done once, in its own folder, with the search's seed, by one process for itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from raysearch.methods.settings import StudentSettings
from raysearch.methods.trial import Trial
from raysearch.targets.store import FolderStore
from raysearch.training.monitoring.spent import read_spent


@pytest.fixture
def trial(tones, small_teacher, tone_labels, tmp_path):
    def make(number: int, **changed: Any) -> Trial[StudentSettings]:
        given: dict[str, Any] = {
            "number": number,
            "settings": StudentSettings(),
            "corpus": tones,
            "teacher": small_teacher,
            "label_set": tone_labels,
            "evaluate": lambda student, final, heads=None: pytest.fail("nothing is judged"),
            "rungs": (2, 4),
            "folder": tmp_path / str(number),
            "device": torch.device("cpu"),
            "seed": number,
            "trainings": FolderStore(tmp_path / "trainings"),
            "search_seed": 7,
        }
        return Trial(**{**given, **changed})

    return make


@pytest.fixture
def train():
    """A training that writes what it was given, and how often it was called."""

    def fill(trial: Trial[Any]) -> None:
        fill.calls += 1
        (trial.folder / "given").write_text(f"{trial.seed} {trial.rungs} {trial.evaluate(None, True)}")

    fill.calls = 0
    return fill


def test_trials_that_ask_for_the_same_train_once(trial, train) -> None:
    first = trial(1).once("a", 9, train)
    spent = read_spent(first)
    folders = {first, trial(2).once("a", 9, train)}
    assert train.calls == 1
    assert spent is not None
    assert spent == read_spent(first), "what it took is known to whoever finds it"
    assert (folders.pop() / "given").read_text() == "7 (9,) {}"
    assert not folders


@pytest.mark.parametrize(
    "changed", [{"search_seed": 8}, {"precision": "bf16"}, {"corpus": "other"}, {"teacher": "other"}], ids=str
)
def test_whatever_decides_it_makes_another(trial, train, changed, tones, small_teacher) -> None:
    if "corpus" in changed:
        changed = {"corpus": replace(tones, splits={**tones.splits, "dev": tones.splits["test"]})}
    if "teacher" in changed:
        changed = {"teacher": replace(small_teacher, key="other")}
    assert trial(1).once("a", 9, train) != trial(1, **changed).once("a", 9, train)
    assert trial(1).once("a", 9, train) != trial(1).once("b", 9, train)
    assert trial(1).once("a", 9, train) != trial(1).once("a", 8, train)
    assert train.calls == 4


def test_killed_training_gets_its_folder_again(trial, train) -> None:
    def dies(own: Trial[Any]) -> None:
        (own.folder / "checkpoint").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trial(1).once("a", 9, dies)
    assert (trial(2).once("a", 9, train) / "checkpoint").exists()


def test_trial_without_a_store_trains_in_its_own_folder(trial, train, tmp_path: Path) -> None:
    assert trial(1, trainings=None).once("a", 9, train).parent == tmp_path / "1/trainings"
