"""Masked prediction as a whole: a student learns to name tones that it does not hear from those around them."""

from pathlib import Path

import pytest
import torch

from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.training.recipe import not_evaluated

SHAPE = {"depth": 1, "width": 32, "heads": 2, "channels": 16, "position_kernel": 15}


@pytest.mark.parametrize("prediction", [{"mask_prob": 0.5}, {"mask_prob": 0, "head": "linear"}])
def test_dicehubert_on_tones_then_its_accuracy_is_far_above_chance(
    tones, small_teacher, tone_labels, tmp_path: Path, prediction
):
    method = load_method("dicehubert")
    training = {"batch_s": 15.0, "lr": 1e-2, "dropout": 0}
    document = {"student": SHAPE, "targets": {"clusters": 4}, "prediction": prediction, "training": training}
    trial = Trial(
        number=0,
        settings=method.Settings.model_validate(document),
        corpus=tones,
        teacher=small_teacher,
        label_set=tone_labels,
        evaluate=not_evaluated,
        rungs=(80,),
        folder=tmp_path,
        device=torch.device("cpu"),
        seed=0,
    )
    (report,) = method().run(trial)
    assert report.metrics["train/accuracy"] > 0.75
