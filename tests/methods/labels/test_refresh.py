"""Labels made anew of the student: the right ones at the right updates, and a resumed trial that has the same."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from raysearch.methods.labels.hubert import FastHubert
from raysearch.methods.labels.settings import FastHubertSettings
from raysearch.methods.trial import Trial
from raysearch.targets.build import build_label_set
from raysearch.targets.store import LabelStore
from raysearch.training.monitoring.meter import TIMINGS
from raysearch.training.recipe import not_evaluated

torch.set_num_threads(1)

CPU = torch.device("cpu")
SETTINGS = {
    "student": {"depth": 2, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3},
    "targets": {"source": "mfcc", "clusters": 4, "refresh": 2},
    "training": {"batch_s": 5.0, "lr": 1e-3, "checkpoint_updates": 1},
}


@pytest.fixture
def trial(tones, small_teacher, tmp_path):
    def make(folder, broken_at=None, settings=SETTINGS):
        keys = []

        def label_set(targets, teacher=None):
            if len(keys) == broken_at:
                raise KeyboardInterrupt
            store = LabelStore(tmp_path / folder / "store")
            found = build_label_set(targets, teacher or small_teacher, tones, tones.audio, store, CPU, 10.0)
            keys.append(found.key)
            return found

        found = Trial(
            number=0,
            settings=FastHubertSettings.model_validate(settings),
            corpus=tones,
            teacher=small_teacher,
            label_set=label_set,
            evaluate=not_evaluated,
            rungs=(3, 7),
            folder=tmp_path / folder,
            device=CPU,
            seed=5,
        )
        return found, keys

    return make


def results(report):
    return {k: v for k, v in report.metrics.items() if k not in (*TIMINGS, "cost/refresh_s")}


def test_labels_are_the_student_s_own_after_every_so_many_updates(trial):
    given, keys = trial("x")
    reports = list(FastHubert().run(given))
    assert [(key.source, key.layer) for key in keys] == [("mfcc", 0), *[("teacher", 1)] * 3]
    assert len({key.digest for key in keys}) == 4
    spent_s = json.loads((given.folder / "refreshed.json").read_text())
    assert list(spent_s) == ["2", "4", "6"]
    assert reports[-1].metrics["cost/refresh_s"] == pytest.approx(sum(spent_s.values()))
    assert sorted(path.name for path in (given.folder / "refreshed").iterdir()) == ["000000004", "000000006"]


@pytest.mark.parametrize("broken_at", [None, 1, 2, 3])
def test_stopped_between_or_within_refreshes_and_resumed_then_the_same_end(trial, broken_at):
    (whole, _), (parts, _) = trial("whole"), trial("parts", broken_at)
    *_, expected = FastHubert().run(whole)
    stopped = FastHubert().run(parts)
    if broken_at is None:
        next(stopped)
        stopped.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            list(stopped)
    *_, resumed = FastHubert().run(trial("parts")[0])
    assert results(resumed) == results(expected)
    assert resumed.metrics["cost/refresh_s"] > 0
    one, other = (load_file(found.folder / "student/model.safetensors") for found in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_refresh_off_the_checkpoints_is_refused_by_name():
    changed = SETTINGS | {"training": {"checkpoint_updates": 3}}
    with pytest.raises(ValidationError, match=r"targets\.refresh: 2; expected a multiple of .* = 3"):
        FastHubertSettings.model_validate(changed)
