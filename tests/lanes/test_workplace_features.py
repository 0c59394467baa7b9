"""Which trials share kept hidden states: as the document says, as the disk allows, and where it pays."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.lanes.workplace import Workplace
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import Store

CPU = torch.device("cpu")
STUDENT = {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}
UPDATES = 4


@pytest.fixture
def workplace(tones, small_teacher, tmp_path, monkeypatch):
    save_encoder(small_teacher.encoder, tmp_path / "teacher")
    monkeypatch.setattr(Workplace, "evaluate", lambda *args, **named: {"eval/per": 50.0})

    def make(keep=None, method="distilhubert", **search):
        own = {"student": STUDENT} if method == "distilhubert" else {"pruning": {"share": 0.5, "size_ratio": 0.5}}
        document = {
            "name": "kept",
            "corpus": {"kind": "synthetic"},
            "teacher": {"source": str(tmp_path / "teacher")},
            "task": {"kind": "phonemes"},
            "method": method,
            "distillation": {"layers": [1, 2]},
            "training": {"batch_s": 4.0, "lr": 1e-3, "dropout": 0.0},
            "search": {"updates": UPDATES, **({} if keep is None else {"keep_features_gb": keep}), **search},
            **own,
        }
        made = Workplace(parse_spec(document, where="kept"), Store(tmp_path / "store"), tmp_path / "teacher", CPU)
        vars(made)["corpus"] = tones
        return made

    return make


def asked(workplace):
    settings = workplace.spec.settings({"method": workplace.spec.methods[0]})
    return workplace.kept_features(workplace.spec.methods[0], [1, 2], settings.student.encoder(), settings.training)


@pytest.fixture
def passes(monkeypatch):
    """The number of cuts in each batch that the teacher has heard. It alone is frozen."""
    heard, forward = [], Encoder.forward

    def counting(self, audio_BS, samples_B):
        if not next(self.parameters()).requires_grad:
            heard.append(len(audio_BS))
        return forward(self, audio_BS, samples_B)

    monkeypatch.setattr(Encoder, "forward", counting)
    return heard


# AdamW makes as large a step for a small gradient as for a large one, so that rounding turns a few steps round. With
# gates it turns more, at a rate that is a hundred times higher.
@pytest.mark.parametrize(("method", "apart"), [("distilhubert", 1e-4), ("dphubert", 2e-3)])
def test_trial_on_kept_states_then_the_losses_of_one_with_the_teacher(workplace, passes, tmp_path, method, apart):
    def losses(name, keep):
        passes.clear()
        (report,) = workplace(keep, method).run(0, {"method": method}, 5, tmp_path / name)
        return {key: value for key, value in report.metrics.items() if key in ("train/loss", "train/cosine")}

    online = losses("online", 0)
    assert len(passes) >= UPDATES
    first = losses("first", 1.0)
    asked_once = sum(passes)
    assert losses("second", 1.0) == first
    assert passes == []
    assert asked_once == 10, "every training cut was heard once"
    assert first == pytest.approx(online, abs=apart)
    assert first["train/loss"] > 0.5


def test_states_above_the_budget_then_the_teacher_runs(workplace):
    assert asked(workplace(1e-6)) is None
    assert asked(workplace(0)) is None
    assert workplace().store.features.ls() == []
    assert asked(workplace(1.0)) is not None
    assert asked(workplace(0)) is None, "0 keeps none, even those that are there"


def test_auto_keeps_where_trials_hear_more_than_the_split(workplace):
    assert asked(workplace(trials=1, updates=1)) is None
    assert asked(workplace(trials=12, updates=1)) is not None
    assert asked(workplace(trials=1, updates=1)) is not None, "what is there already costs nothing"


def test_auto_takes_no_more_than_half_of_the_free_disk(workplace, monkeypatch):
    needed = 2 * sum((cut.num_samples - 400) // 640 + 1 for cut in workplace().corpus.splits["train"]) * 32 * 2
    for free, kept in ((needed, False), (3 * needed, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        assert (asked(workplace()) is not None) == kept
