"""Several batches in an update: as one batch of all their cuts, each with randomness of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.batches import LabelledBatches
from raysearch.methods.labels.prediction import MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.methods.settings import StudentSettings
from raysearch.methods.unfused.selfdistillation import ClusteredWindows
from raysearch.methods.unfused.settings import SelfDistillationSettings
from raysearch.targets.settings import TargetSettings
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run, Trainer

torch.set_num_threads(1)

CONFIG = StudentSettings(depth=2, width=16, heads=2, channels=8, position_kernel=3).encoder()
CPU = torch.device("cpu")
LABELS, ROWS, SAMPLES = 5, 4, 8000


def updated(folder, parts):
    """The trainer after an update on the same rows, in so many batches."""
    torch.manual_seed(0)
    module = MaskedPrediction(Encoder(CONFIG, dropout=0.0), LABELS, PredictionSettings(mask_prob=0.0))
    rng = np.random.default_rng(0)
    width = int(module.student.frames(SAMPLES))
    inputs = {
        "audio_BS": torch.from_numpy(rng.standard_normal((ROWS, SAMPLES)).astype(np.float32)),
        "samples_B": torch.full((ROWS,), SAMPLES),
        "labels_BT": torch.from_numpy(rng.integers(LABELS, size=(ROWS, width))),
        "mask_BT": torch.zeros(ROWS, width, dtype=torch.bool),
    }
    run = Run(folder, CPU, 0, "fp32", (2,), TrainingSettings(accumulate=parts))
    trainer = Trainer(run, module)
    split = {name: x.chunk(parts) for name, x in inputs.items()}
    metrics = trainer.update({name: xs[part] for name, xs in split.items()} for part in range(parts))
    return {name: p.grad for name, p in module.named_parameters()}, metrics


@pytest.mark.parametrize("parts", [2, 4])
def test_update_on_parts_then_gradients_and_metrics_of_the_whole(tmp_path, parts):
    (whole, metrics), (summed, means) = updated(tmp_path, 1), updated(tmp_path, parts)
    assert max(float((whole[name] - summed[name]).abs().max()) for name in whole) < 1e-6
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-2
    assert {name: float(value) for name, value in means.items()} == pytest.approx(
        {name: float(value) for name, value in metrics.items()}, rel=1e-5
    )


def test_batches_of_an_update_then_each_has_its_own_dropout(tmp_path):
    class Seen(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.student = torch.nn.Dropout(0.5)
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.kept = []

        def forward(self):
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
