"""Masked prediction as a whole: a student learns to name tones that it does not hear from those around them."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from raysearch.errors import InputError
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.targets.build import build_label_set
from raysearch.targets.store import LabelStore
from raysearch.training.recipe import not_evaluated

SHAPE = {"depth": 1, "width": 32, "heads": 2, "channels": 16, "position_kernel": 15}


def trial_of(method, document, corpus, teacher, label_set, folder, updates):
    return Trial(
        number=0,
        settings=method.Settings.model_validate(document),
        corpus=corpus,
        teacher=teacher,
        label_set=label_set,
        evaluate=not_evaluated,
        rungs=(updates,),
        folder=folder,
        device=torch.device("cpu"),
        seed=0,
    )


@pytest.mark.parametrize("prediction", [{"mask_prob": 0.5}, {"mask_prob": 0, "head": "linear"}])
def test_dicehubert_on_tones_then_its_accuracy_is_far_above_chance(
    tones, small_teacher, tone_labels, tmp_path: Path, prediction
):
    method = load_method("dicehubert")
    training = {"batch_s": 15.0, "lr": 1e-2, "dropout": 0}
    document = {"student": SHAPE, "targets": {"clusters": 4}, "prediction": prediction, "training": training}
    trial = trial_of(method, document, tones, small_teacher, tone_labels, tmp_path, 80)
    (report,) = method().run(trial)
    assert report.metrics["train/accuracy"] > 0.75


def test_several_label_sets_are_asked_for_and_learned_together(tones, small_teacher, tone_labels, tmp_path: Path):
    method, asked = load_method("dicehubert"), []

    def label_set(settings):
        asked.append((settings.layer, settings.clusters, settings.normalise, settings.more))
        return tone_labels(settings)

    targets = {"clusters": 4, "normalise": True, "more": [{"layer": 1, "clusters": 2, "weight": 0.5}]}
    training = {"batch_s": 15.0, "lr": 1e-2, "dropout": 0}
    document = {"student": SHAPE, "targets": targets, "prediction": {"mask_prob": 0}, "training": training}
    (report,) = method().run(trial_of(method, document, tones, small_teacher, label_set, tmp_path, 40))
    assert asked == [(-1, 4, True, []), (1, 2, True, [])]
    assert report.metrics["train/accuracy"] > 0.6


def test_soft_labels_of_two_label_sets_are_learned(tones, small_teacher, tmp_path: Path):
    store, losses = LabelStore(tmp_path / "store"), []
    for soft in (0.0, 1.0):

        def label_set(settings):
            return build_label_set(settings, small_teacher, tones, tones.audio, store, torch.device("cpu"), 10.0)

        targets = {"layer": 1, "clusters": 8, "soft": soft, "more": [{"layer": 2, "clusters": 3}]}
        document = {"student": SHAPE, "targets": targets, "training": {"batch_s": 15.0, "dropout": 0}}
        method = load_method("dicehubert")
        folder = tmp_path / str(soft)
        (report,) = method().run(trial_of(method, document, tones, small_teacher, label_set, folder, 2))
        losses.append(report.metrics["train/loss"])
    # Shares add up to one, so that the losses are alike, but they are not the same.
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    assert losses[1] != pytest.approx(losses[0], rel=1e-4)


def test_layer_beside_the_first_that_the_teacher_lacks_is_refused_by_name(small_teacher):
    method = load_method("dicehubert")
    settings = method.Settings.model_validate({"targets": {"more": [{"layer": 1}, {"layer": 3}]}})
    with pytest.raises(InputError, match=r"^targets\.more\[1\]\.layer: "):
        method.student(settings, small_teacher.encoder.config)


def test_refreshed_labels_are_one_label_set():
    targets = {"refresh": 500, "more": [{"clusters": 50}]}
    with pytest.raises(ValidationError, match=r"refresh: 500 with 1 in more; expected one label set or 0"):
        load_method("hubert").Settings.model_validate({"targets": targets})
