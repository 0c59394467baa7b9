"""A search of a supernet without Ray: one training, slices that the shared head judges, a few that are trained on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.storages import InMemoryStorage

from raysearch.corpora.batches import evaluation_batches
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.cost import macs_superb
from raysearch.exported.speech_model import Recogniser
from raysearch.front.document import document as build_document
from raysearch.lanes.workplace import Workplace
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import Store
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.tokens import greedy, reference
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.trainer import Trainer

CPU = torch.device("cpu")
SHAPE = {"depth": 2, "width": 32, "heads": 2, "channels": 16, "position_kernel": 3}
TRAINING = {"lr": 2e-3, "batch_s": 8.0, "checkpoint_updates": 2}
STILL = {"lr": 1e-12, "weight_decay": 0.0, "updates": 1}
"""A supernet that stays as it begins."""
SPACE = {
    "student.depth": {"int": [1, 2]},
    "student.width": {"choice": [16, 32]},
    "student.ffn_ratio": {"choice": [1.0, 2.0, 3.0, 4.0]},
    "student.channels": {"choice": [4, 8, 12, 16]},
}


@pytest.fixture(scope="module")
def reader(tones, tmp_path_factory):
    """A teacher that was trained to read, with its head beside it."""
    settings = TrainedTeacher(updates=60, lr=1e-2, batch_s=10.0, **SHAPE)
    folder = prepare_teacher(settings, tones, Store(tmp_path_factory.mktemp("reader")).teachers, CPU)
    return {"source": str(folder)}


@pytest.fixture
def workplace(tones, reader, tmp_path):
    def make(supernet: dict[str, Any], **search: Any) -> Workplace:
        document = {
            "name": "sliced",
            "corpus": {"kind": "synthetic"},
            "teacher": reader,
            "task": {"kind": "phonemes", "updates": 2, "batch_s": 6.0, "lrs": [0.1]},
            "method": "supernet",
            "supernet": {"updates": 4, "smallest": {"width": 16, "channels": 4}, **TRAINING, **supernet},
            "distillation": {"layers": [1, 2]},
            "training": TRAINING,
            "space": SPACE,
            "search": {"updates": 2, "rungs": [0, 1.0], "scheduler": "pareto-asha", **search},
        }
        spec, store = parse_spec(document, where="sliced"), Store(tmp_path / "store")
        made = Workplace(spec, store, prepare_teacher(spec.teacher, tones, store.teachers, CPU), CPU)
        vars(made)["corpus"] = tones
        return made

    return make


def error_of_export(trial: Path, cuts: Any, store: Any) -> float:
    """The error in percent of the module that is exported."""
    recogniser = Recogniser.of_trial(trial, "phonemes")
    model, tokens = recogniser.model(), recogniser.head.config.tokens
    reading = Reading([], [])
    for batch in evaluation_batches(cuts, store, 60.0):
        found = greedy(*model(batch.audio_BS, batch.samples_B))
        reading.references.extend(reference(cut, "phones") for cut in batch.cuts)
        reading.hypotheses.extend(tokens.decode(row) for row in found)
    return reading.score("phones", 0).value


def test_whole_slice_of_a_supernet_that_stays_has_the_teachers_own_error(workplace, tmp_path: Path) -> None:
    place = workplace(STILL, rungs=[0])
    (report,) = place.run(0, {"method": "supernet"}, 5, tmp_path / "trial")
    teacher = json.loads((place.teacher_folder / "teacher.json").read_text())["metrics"]
    assert report.metrics["eval/per"] == teacher["eval/per"] < 60
    assert report.metrics["test/per"] == teacher["test/per"]
    assert not [name for name in report.metrics if name.startswith("probe/")], "nothing was trained for the judgement"


def test_search_looks_at_many_slices_and_trains_few(workplace, tones, tmp_path: Path, monkeypatch) -> None:
    place = workplace({})
    spec, teacher = place.spec, place.teacher.encoder.config
    assert place.prepare("supernet", tmp_path).name == place.store.trainings.ls()[0]
    assert len(place.store.trainings.ls()) == 1
    trained, update = [], Trainer.update
    monkeypatch.setattr(Trainer, "update", lambda self, batches: (trained.append(self), update(self, batches))[1])
    study = Study.create(InMemoryStorage(), spec.name, spec.objectives, {})
    searcher = Searcher(spec, study, teacher, trials=16, say=lambda _: None)
    while (order := searcher.suggest()) is not None:
        for report in place.run(order.number, order.config, order.seed, tmp_path / str(order.number)):
            if report.final:
                searcher.complete(order.number, report.step, dict(report.metrics))
            elif not searcher.observe(order.number, report.step, dict(report.metrics)):
                break
    ran = [record for record in study.records() if record.state != "infeasible"]
    assert [record.state for record in ran] == ["complete"] * 16
    left = [record for record in ran if record.rung == 0]
    assert 8 <= len(left) < 16
    assert len(trained) == 2 * (16 - len(left)), "the supernet was there, and only promoted slices were trained"
    assert len(place.store.trainings.ls()) == 1
    for record in ran:
        student = load_encoder(tmp_path / str(record.number) / "student")
        assert record.cost.macs_g == macs_superb(student.config) / 1e9
        assert math.isfinite(record.metrics["test/per"])
    one = left[0]
    error = error_of_export(tmp_path / str(one.number), tones.splits["dev"], tones.audio)
    assert error == one.metrics["eval/per"], "it is shipped with the head that judged it"
    document = build_document(spec.name, spec.objectives, study.records(), [100.0, 100.0], None)
    assert document.front


def test_other_supernets_in_the_space_are_left_to_the_trials(workplace) -> None:
    place = workplace({})
    assert place.spec.sharing == ["supernet"]
    searched = place.spec.model_copy(update={"space": {"supernet.drawn": place.spec.space["student.depth"]}})
    assert searched.sharing == []
