"""Two processes train as one would on both their batches, although one has far fewer real frames.

So they do with two batches in an update, and gradients are exchanged once in it.
"""

import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, multiprocessing, nn

from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.training.loop import fit
from raysearch.training.loss_module import LossModule
from raysearch.training.process import gathered, rank
from raysearch.training.recipe import Recipe
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run

CONFIG = StudentSettings(depth=1, width=16, heads=2, channels=8, position_kernel=3).encoder()
SAMPLES = [8000, 8000, 8000, 1000]
ACCUMULATED = (1, 2)


class Speech:
    def __init__(self, step, rows):
        audio_CS = np.random.default_rng(step).standard_normal((4, 8000)).astype(np.float32)
        self.audio_BS = torch.from_numpy(audio_CS[rows])
        self.samples_B = torch.tensor([SAMPLES[row] for row in rows])


class Speeches:
    def __init__(self, rows):
        self.rows = rows

    def from_step(self, step):
        while True:
            yield Speech(step, self.rows)
            step += 1


class Loudness(LossModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student = Encoder(CONFIG)
        self.head = nn.Linear(16, 1)
        self.before = []
        """The head's gradients that each batch found."""

    def counts(self, audio_BS, samples_B):
        return {"frames": self.student.frames(samples_B).sum()}

    def share(self, counts, audio_BS, samples_B):
        if self.head.weight.grad is not None:
            self.before.append(self.head.weight.grad.clone())
        encoded = self.student(audio_BS, samples_B)
        error_BT = (self.head(encoded.output_BTD)[..., 0] - 1).square()
        real_BT = torch.arange(error_BT.shape[1]) < encoded.frames_B[:, None]
        return (error_BT * real_BT).sum() / counts["frames"], {}


def train(folder, rows, accumulate, module):
    torch.set_num_threads(1)
    settings = TrainingSettings(lr=1e-3, checkpoint_updates=2, accumulate=accumulate)
    run = Run(folder, torch.device("cpu"), 0, "fp32", (3,), settings)
    inputs = lambda step, batch: {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B}  # noqa: E731
    return list(fit(run, Recipe(module, Speeches(rows), inputs, evaluate)))


def evaluate(student, final, heads=None):
    """What each process sees of the student, put together."""
    own = {f"eval/norm_of_{rank()}": student.projection.weight.norm().item()}
    return gathered(own)


def work(number, port, folder):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    for accumulate in ACCUMULATED:
        module = Loudness()
        (report,) = train(folder / str(accumulate), [2 * number, 2 * number + 1], accumulate, module)
        assert report.metrics["eval/norm_of_0"] == report.metrics["eval/norm_of_1"]
        (again,) = train(folder / str(accumulate), [2 * number, 2 * number + 1], accumulate, Loudness())
        assert again == report, "judged once, and known to all"
    assert len(module.before) == 3
    for mine in module.before:
        both = [torch.empty_like(mine), torch.empty_like(mine)]
        distributed.all_gather(both, mine)
        assert not torch.equal(*both), "not exchanged before the last batch"
    distributed.destroy_process_group()


def test_two_processes_then_the_weights_of_one_with_both_batches(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for accumulate in ACCUMULATED:
        train(one / str(accumulate), [0, 1, 2, 3], accumulate, Loudness())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, two), nprocs=2)
    for accumulate in ACCUMULATED:
        single, double = (load_file(way / str(accumulate) / "student/model.safetensors") for way in (one, two))
        for name, weights in single.items():
            assert double[name].numpy() == pytest.approx(weights.numpy(), abs=2e-5), (accumulate, name)
