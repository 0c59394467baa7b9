"""A student that is pruned for a task: which head it begins with, and that it is judged and shipped with that head."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from raysearch.corpora.batches import evaluation_batches
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.exported.speech_model import Recogniser
from raysearch.lanes.workplace import Workplace
from raysearch.methods.pruning.lagrangian import Lagrangian
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import Store
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.tokens import greedy, reference
from raysearch.tasks.head import load_head
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.monitoring.meter import TIMINGS

CPU = torch.device("cpu")
CONFIG = {"method": "hjpruning"}
SHAPE = {"depth": 2, "width": 32, "heads": 2, "channels": 16, "position_kernel": 3}
STILL = {"lr": 1e-12, "batch_s": 8.0, "checkpoint_updates": 2}
"""Training in which no weight moves."""


@pytest.fixture(scope="module")
def reader(tones, tmp_path_factory):
    """A teacher that was trained to read, with its head beside it."""
    settings = TrainedTeacher(updates=60, lr=1e-2, batch_s=10.0, **SHAPE)
    folder = prepare_teacher(settings, tones, Store(tmp_path_factory.mktemp("reader")).teachers, CPU)
    return {"source": str(folder)}


@pytest.fixture
def theirs(small_teacher, tmp_path):
    """A teacher without a head, as older ones and most from elsewhere are."""
    save_encoder(small_teacher.encoder, tmp_path / "theirs")
    return {"source": str(tmp_path / "theirs")}


@pytest.fixture
def workplace(tones, tmp_path):
    def make(teacher, task=None, training=None, **pruning):
        document = {
            "name": "pruned",
            "corpus": {"kind": "synthetic"},
            "teacher": teacher,
            "task": {"kind": "phonemes", "updates": 8, "batch_s": 6.0, "lrs": [0.1, 0.3], **(task or {})},
            "method": "hjpruning",
            "pruning": {"share": 0.6, "ramp": 0.8, **pruning},
            "training": training or {"lr": 2e-2, "batch_s": 8.0, "checkpoint_updates": 2},
            "space": {"ctc.head_lr": {"float": [1e-12, 1e-2]}},
            "search": {"updates": 8},
        }
        spec, store = parse_spec(document, where="pruned"), Store(tmp_path / "store")
        made = Workplace(spec, store, prepare_teacher(spec.teacher, tones, store.teachers, CPU), CPU)
        vars(made)["corpus"] = tones
        return made

    return make


def run(workplace, folder, head_lr=1e-2):
    *_, last = workplace.run(0, {**CONFIG, "ctc.head_lr": head_lr}, 5, folder)
    return last.metrics


def error_of_export(trial, cuts, store):
    """The error in percent of the module that is exported."""
    recogniser = Recogniser.of_trial(trial, "phonemes")
    model, tokens = recogniser.model(), recogniser.head.config.tokens
    reading = Reading([], [])
    for batch in evaluation_batches(cuts, store, 60.0):
        found = greedy(*model(batch.audio_BS, batch.samples_B))
        reading.references.extend(reference(cut, "phones") for cut in batch.cuts)
        reading.hypotheses.extend(tokens.decode(row) for row in found)
    return reading.score("phones", 0).value


def test_teacher_with_a_head_then_the_student_is_pruned_judged_and_exported_with_it(workplace, reader, tones, tmp_path):
    place = workplace(reader, training=STILL)
    metrics = run(place, tmp_path / "trial", head_lr=1e-12)
    own, kept = load_head(place.teacher_folder), load_head(tmp_path / "trial/head-phonemes")
    assert kept.config == own.config
    assert kept.config.reads == "output"
    for name, x in own.module.state_dict().items():
        assert torch.allclose(kept.module.state_dict()[name], x, atol=1e-5), "the head was to stay as it was"
    assert metrics["eval/per"] < 100
    assert metrics["eval/per"] == error_of_export(tmp_path / "trial", tones.splits["dev"], tones.audio)
    assert metrics["test/per"] == error_of_export(tmp_path / "trial", tones.splits["test"], tones.audio)
    second = {"probe/per", "probe/per_low", "probe/per_high", "probe/test_per"}
    assert second <= metrics.keys()
    assert "eval/per_lr" not in metrics, "nothing was chosen for it on dev"
    assert place.store.heads.ls() == []


def test_dense_student_that_stays_then_the_error_is_the_teachers_own(workplace, reader, tmp_path):
    place = workplace(reader, training=STILL, macs_ratio=1.0)
    metrics = run(place, tmp_path / "trial", head_lr=1e-12)
    teacher = json.loads((place.teacher_folder / "teacher.json").read_text())["metrics"]
    assert metrics["eval/per"] == teacher["eval/per"] < 60


def test_teacher_without_a_head_then_one_is_trained_once_and_kept(workplace, theirs, monkeypatch):
    place = workplace(theirs)
    first = place.objective("auto").head
    assert first.config.reads == "layers"
    assert any(x.any() for x in first.module.state_dict().values()), "it has learned"
    assert len(place.store.heads.ls()) == 1
    monkeypatch.setattr(Phonemes, "evaluate", None)
    again = place.objective("auto").head
    assert all(torch.equal(x, again.module.state_dict()[name]) for name, x in first.module.state_dict().items())


def test_other_task_settings_then_another_head(workplace, theirs):
    for updates in (2, 3):
        workplace(theirs, {"updates": updates}).objective("auto")
    assert len(workplace(theirs).store.heads.ls()) == 2


def test_finetuning_task_then_the_fine_tuned_teacher_is_what_is_pruned(workplace, theirs, small_teacher, tmp_path):
    task = {"mode": "finetune", "updates": 3, "encoder_lr": 1e-2}
    place = workplace(theirs, task, STILL, macs_ratio=1.0)
    metrics = run(place, tmp_path / "trial", head_lr=1e-12)
    tuned = place.objective("auto").head.tuned
    student = load_encoder(tmp_path / "trial/student")
    assert tuned is not None
    assert torch.allclose(student.projection.weight, tuned.projection.weight, atol=1e-5)
    assert not torch.allclose(student.projection.weight, small_teacher.encoder.projection.weight, atol=1e-3)
    assert load_head(tmp_path / "trial/head-phonemes").tuned is None, "the student itself was trained with its head"
    assert {"eval/per", "probe/per"} <= metrics.keys()


def test_task_that_is_not_judged_then_its_head_starts_from_nothing(workplace, theirs):
    place = workplace(theirs)
    objective = place.objective("characters")
    assert objective.task == "asr"
    assert not any(x.any() for x in objective.head.module.state_dict().values())
    assert place.store.heads.ls() == []


class _KilledError(Exception):
    pass


def test_trial_killed_among_its_gates_then_it_ends_with_the_same_head_and_error(
    workplace, reader, tmp_path, monkeypatch
):
    place = workplace(reader)
    whole = run(place, tmp_path / "whole")
    forward, seen = Lagrangian.forward, []

    def dying(self, expected, step):
        seen.append(step)
        if seen == [0, 1, 2, 3]:
            raise _KilledError
        return forward(self, expected, step)

    monkeypatch.setattr(Lagrangian, "forward", dying)
    with pytest.raises(_KilledError):
        run(place, tmp_path / "parts")
    resumed = run(place, tmp_path / "parts")
    assert seen[3:6] == [3, 2, 3]
    same = [name for name in whole if name not in TIMINGS]
    assert [resumed[name] for name in same] == [whole[name] for name in same]
    one, other = (load_file(tmp_path / name / "head-phonemes/head.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one | other)
