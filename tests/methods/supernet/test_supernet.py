"""A supernet is trained once, resumes where it was killed, and a trial is a slice of it, as it is or trained on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy
from safetensors.torch import load_file

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.supernet.shared_weights import slice_out
from raysearch.methods.supernet.heads import Heads
from raysearch.methods.supernet.settings import SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace
from raysearch.methods.supernet.supernet import Supernet
from raysearch.methods.supernet.training import shared_supernet
from raysearch.methods.trial import Trial
from raysearch.targets.store import FolderStore
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.ctc.tokens import OutputHead, Tokens
from raysearch.tasks.head import ChosenHead
from raysearch.tasks.objective import Objective
from raysearch.tasks.settings import PhonemesSettings
from raysearch.training.trainer import Trainer

TRAINING = {"batch_s": 8.0, "lr": 1e-3, "checkpoint_updates": 2}
SMALL = {"depth": 1, "width": 16, "channels": 8}


@pytest.fixture
def trial(tones, small_teacher, tone_labels, tmp_path):
    """Trials of one search, whose task is phonemes."""

    def objective(corpus: Corpus, unit: str, /, *, trained: bool = True) -> Objective:
        task = Phonemes(PhonemesSettings())
        return Objective.of(task, corpus, task.new_head(corpus, small_teacher.encoder.config))

    def make(number: int = 0, store: str = "trainings", **changed: Any) -> Trial[SupernetSettings]:
        student, shared = changed.pop("student", SMALL), changed.pop("supernet", {})
        document = {
            "student": student,
            "supernet": {"updates": 5, "smallest": {"width": 16}, **TRAINING, **shared},
            "distillation": {"layers": [1, 2]},
            "training": TRAINING,
        }
        given: dict[str, Any] = {
            "number": number,
            "settings": SupernetSettings.model_validate(document),
            "corpus": tones,
            "teacher": small_teacher,
            "label_set": tone_labels,
            "evaluate": judge,
            "rungs": (0, 2),
            "folder": tmp_path / f"{store}-{number}",
            "device": torch.device("cpu"),
            "seed": number,
            "objective": partial(objective, changed.get("corpus", tones)),
            "judged": ("phonemes",),
            "trainings": FolderStore(tmp_path / store),
        }
        return Trial(**{**given, **changed})

    return make


def judge(student: Encoder, final: bool, heads: Any = None, *, probed: bool = True) -> dict[str, float]:
    """What stands for an error: the norm of the weights that are judged."""
    (head,) = (heads or {}).values()
    return {
        "eval/per": head.module.weight.norm().item() + student.projection.weight.norm().item(),
        "final": float(final),
        "probed": float(probed),
    }


def weights_of(store: FolderStore) -> dict[str, torch.Tensor]:
    (digest,) = store.ls()
    folder = store.get(digest)
    assert folder is not None
    return {**load_file(folder / "student/model.safetensors"), **load_file(folder / "heads.safetensors")}


def test_trial_is_a_slice_of_the_supernet_and_judged_as_it_is(trial) -> None:
    first = next(Supernet().run(trial()))
    assert (first.step, first.final) == (0, False)
    assert (first.metrics["final"], first.metrics["probed"]) == (1.0, 0.0)
    shared = shared_supernet(trial())
    sub = SliceSpace(trial().settings.supernet, shared.encoder.config).of(trial().settings.student)
    expected, found = slice_out(shared.encoder, sub), load_encoder(trial().folder / "student")
    assert found.config == expected.config == Supernet.student(trial().settings, trial().teacher.encoder.config)
    assert all(torch.equal(x, found.state_dict()[name]) for name, x in expected.state_dict().items())


def test_only_rung_is_zero_then_nothing_is_trained(trial) -> None:
    (report,) = Supernet().run(trial(rungs=(0,)))
    assert (report.step, report.final) == (0, True)
    assert not (trial().folder / "checkpoints").exists()


def test_trials_of_a_search_train_one_supernet(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    next(Supernet().run(trial(1)))
    monkeypatch.setattr(Trainer, "update", None)
    other = next(Supernet().run(trial(2, student={"depth": 2, "width": 32})))
    assert other.step == 0
    assert len(trial(1).trainings.ls()) == 1


def test_other_settings_of_the_supernet_are_another_one(trial) -> None:
    for changed in ({}, {"supernet": {"drawn": 0}}, {"supernet": {"task_weight": 0.5}}):
        next(Supernet().run(trial(**changed)))
    assert len(trial().trainings.ls()) == 3


def test_slice_that_is_trained_on_reports_at_its_rungs_and_learns(trial) -> None:
    first, last = Supernet().run(trial())
    assert [(first.step, first.final), (last.step, last.final)] == [(0, False), (2, True)]
    assert (last.metrics["final"], last.metrics["probed"]) == (1.0, 0.0)
    assert last.metrics["eval/per"] != first.metrics["eval/per"]
    assert {"train/cosine", "train/read", "train/loss"} <= last.metrics.keys()


def test_trial_that_was_trained_already_does_not_report_at_rung_zero_again(trial) -> None:
    whole = list(Supernet().run(trial(rungs=(0, 2, 4))))
    parts = Supernet().run(trial(1, rungs=(0, 2, 4), seed=0))
    assert [next(parts).step, next(parts).step] == [0, 2]
    parts.close()
    resumed = list(Supernet().run(trial(1, rungs=(0, 2, 4), seed=0)))
    assert [report.step for report in resumed] == [2, 4]
    assert resumed[-1].metrics["eval/per"] == whole[-1].metrics["eval/per"]


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("start", ["teacher", "blank"])
def test_supernet_that_is_killed_goes_on_and_ends_as_an_uninterrupted_one(
    trial, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"start": start, "largest": {"depth": 2, "width": 32, "heads": 2, "channels": 16, "position_kernel": 5}}
    Supernet.prepare(trial(supernet=shared))
    update, done = Trainer.update, []

    def dying(self, batches):
        done.append(self.step)
        if len(done) == 4:
            raise _KilledError
        return update(self, batches)

    monkeypatch.setattr(Trainer, "update", dying)
    again = trial(store="again", supernet=shared)
    with pytest.raises(_KilledError):
        Supernet.prepare(again)
    assert again.trainings.ls() == []
    Supernet.prepare(again)
    assert done == [0, 1, 2, 3, 2, 3, 4], "it went on from its checkpoint after the second update"
    one, other = weights_of(trial().trainings), weights_of(again.trainings)
    assert one.keys() == other.keys()
    assert all(torch.equal(x, other[name]) for name, x in one.items())


@pytest.mark.parametrize("smaller", ["teacher", "largest"])
def test_all_sub_networks_learn(trial, smaller: str) -> None:
    one = trial(supernet={"smaller": smaller, "updates": 30, "lr": 5e-3, "drawn": 1})
    Supernet.prepare(one)
    (digest,) = one.trainings.ls()
    lines = (one.trainings.folder / digest / "curve.jsonl").read_text().splitlines()
    first, last = (json.loads(line)["metrics"] for line in (lines[0], lines[-1]))
    for name in ("train/cosine", "train/cosine_smallest"):
        assert last[name] > first[name] + 0.05
    for name in ("train/read", "train/read_smallest"):
        assert last[name] < first[name]
    assert not (one.trainings.folder / digest / "checkpoints").exists()


def test_search_that_judges_nothing_by_ctc_has_no_head(trial) -> None:
    def probed(student: Encoder, final: bool, heads: Any = None) -> dict[str, float]:
        assert not heads
        return {"eval/eer": 1.0}

    first, last = Supernet().run(trial(judged=("speaker",), evaluate=probed))
    assert first.metrics == {"eval/eer": 1.0}
    assert "train/read" not in last.metrics


@pytest.mark.parametrize(("head_lr", "learns"), [({}, True), ({"head_lr": 1e-12}, False)])
def test_head_that_starts_from_nothing_has_a_rate_of_its_own(trial, head_lr: dict[str, float], learns: bool) -> None:
    one = trial(supernet={"lr": 1e-12, "weight_decay": 0.0, **head_lr})
    Supernet.prepare(one)
    assert bool(weights_of(one.trainings)["task.weight"].norm() > 1e-3) is learns


@pytest.mark.parametrize("labelled", [1, -1], ids=["one labelled", "one unlabelled"])
def test_cuts_without_a_transcript_teach_the_features_alone(trial, tones, labelled: int) -> None:
    train = list(tones.splits["train"])
    silent = [fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], custom=None)]) for cut in train[labelled:]]
    splits = {**tones.splits, "train": CutSet.from_cuts([*train[:labelled], *silent])}
    *_, last = Supernet().run(trial(corpus=replace(tones, splits=splits)))
    assert math.isfinite(last.metrics["train/read"])


def test_heads_of_a_sub_network_are_those_of_its_slice(small_teacher) -> None:
    torch.manual_seed(0)
    config = small_teacher.encoder.config
    heads = Heads(config, 2, 32, 5)
    torch.nn.init.normal_(heads.task.weight)
    for width in (16, 32):
        features, task = heads.of(width)
        sliced, x_BTD = heads.sliced(config.model_copy(update={"width": width})), torch.randn(2, 7, width)
        assert torch.allclose(features(x_BTD), sliced.features(x_BTD), atol=1e-5)
        assert torch.allclose(task(x_BTD), sliced.task(x_BTD), atol=1e-5)
    features(x_BTD).sum().backward()
    assert all(layer.weight.grad.any() for layer in heads.features.layers)


def test_copy_of_the_teacher_in_another_order_reads_as_the_teacher(trial, small_teacher, tones) -> None:
    """Its head begins as the teacher's own, whose inputs are sorted as the teacher's width is."""
    torch.manual_seed(0)
    tokens = Tokens.from_cuts(tones.splits["train"], "phones")
    own, task, seen = OutputHead(32, tokens.count), Phonemes(PhonemesSettings()), []

    def objective(unit: str, /, *, trained: bool = True) -> Objective:
        return Objective.of(task, tones, ChosenHead.of_output(own, tokens, 3))

    def see(student: Encoder, final: bool, heads: Any, *, probed: bool) -> dict[str, float]:
        seen.append((student, heads["phonemes"].module))
        return {}

    still = {"lr": 1e-12, "updates": 1, "weight_decay": 0.0}
    list(Supernet().run(replace(trial(student={}, supernet=still), rungs=(0,), evaluate=see, objective=objective)))
    ((student, head),) = seen
    audio_BS, samples_B = torch.randn(1, 16_000), torch.tensor([16_000])
    assert not torch.equal(student.projection.weight, small_teacher.encoder.projection.weight), "it is sorted"
    expected = own(small_teacher.encoder(audio_BS, samples_B).output_BTD)
    assert torch.allclose(head(student(audio_BS, samples_B).output_BTD), expected, atol=1e-4)
