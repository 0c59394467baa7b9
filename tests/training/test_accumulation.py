"""Several batches in an update: as one batch of all their cuts, each with randomness of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.batches import LabelledBatches
from raysearch.methods.labels.prediction import PADDING, MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.methods.settings import StudentSettings
from raysearch.methods.unfused.selfdistillation import ClusteredWindows
from raysearch.methods.unfused.settings import SelfDistillationSettings
from raysearch.targets.settings import TargetSettings
from raysearch.training.loss_module import LossModule
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run, Trainer

torch.set_num_threads(1)

CONFIG = StudentSettings(depth=2, width=16, heads=2, channels=8, position_kernel=3).encoder()
CPU = torch.device("cpu")
LABELS, SAMPLES = 5, (8000, 8000, 5000, 2000)


def updated(folder, parts):
    """Gradients and metrics of an update on these rows of each batch."""
    torch.manual_seed(0)
    module = MaskedPrediction(Encoder(CONFIG, dropout=0.0), LABELS, PredictionSettings(mask_prob=0.0))
    rng = np.random.default_rng(0)
    frames = [int(module.student.frames(samples)) for samples in SAMPLES]
    labels_BT = torch.from_numpy(rng.integers(LABELS, size=(len(SAMPLES), max(frames))))
    for labels_T, count in zip(labels_BT, frames, strict=True):
        labels_T[count:] = PADDING
    inputs = {
        "audio_BS": torch.from_numpy(rng.standard_normal((len(SAMPLES), max(SAMPLES))).astype(np.float32)),
        "samples_B": torch.tensor(SAMPLES),
        "labels_BT": labels_BT,
        "mask_BT": torch.zeros_like(labels_BT, dtype=torch.bool),
    }
    trainer = Trainer(Run(folder, CPU, 0, "fp32", (2,), TrainingSettings(accumulate=len(parts))), module)
    metrics = trainer.update({name: x[rows] for name, x in inputs.items()} for rows in parts)
    return {name: p.grad for name, p in module.named_parameters()}, metrics


@pytest.mark.parametrize("parts", [[[0, 1], [2, 3]], [[0, 1, 2], [3]], [[0], [1], [2], [3]]])
def test_update_on_parts_then_gradients_and_metrics_of_the_whole(tmp_path, parts):
    (whole, metrics), (summed, means) = updated(tmp_path, [[0, 1, 2, 3]]), updated(tmp_path, parts)
    assert max(float((whole[name] - summed[name]).abs().max()) for name in whole) < 1e-6
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-2
    assert {name: float(value) for name, value in means.items()} == pytest.approx(
        {name: float(value) for name, value in metrics.items()}, rel=1e-5
    )


def test_batches_of_an_update_then_each_has_its_own_dropout(tmp_path):
    class Seen(LossModule):
        def __init__(self):
            super().__init__()
            self.student = torch.nn.Dropout(0.5)
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.kept = []

        def counts(self):
            return {"batches": 1}

        def share(self, counts):
            x = self.student(self.weight.expand(64))
            self.kept.append((x > 0).tolist())
            return x.sum(), {}

    once, twice = Seen(), Seen()
    Trainer(Run(tmp_path, CPU, 0, "fp32", (2,), TrainingSettings()), once).update([{}])
    Trainer(Run(tmp_path, CPU, 0, "fp32", (2,), TrainingSettings(accumulate=2)), twice).update([{}, {}])
    assert twice.kept[0] == once.kept[0] != twice.kept[1]


def test_batches_of_an_update_then_each_has_its_own_mask_and_window(tones, tone_labels):
    first, second = (
        next(TrainingBatches(tones.splits["train"], tones.audio, 8.0, 0).from_step(step)) for step in (6, 7)
    )
    assert (first.number, second.number) == (6, 7)
    masks = LabelledBatches(Encoder(CONFIG), tone_labels(TargetSettings(clusters=4)), PredictionSettings(), seed=0)
    windows = ClusteredWindows({cut.id: 0 for cut in first.cuts}, SelfDistillationSettings(window_s=0.5), seed=0)

    def drawn(batch: Batch, update: int):
        return masks(update, batch)["mask_BT"], windows(update, batch)["audio_BS"]

    same, again, other = drawn(first, 3), drawn(first, 3), drawn(replace(first, number=7), 3)
    assert all(torch.equal(one, two) for one, two in zip(same, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(same, other, strict=True))
