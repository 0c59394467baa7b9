"""Two processes train as one would on both their batches, although one has far fewer real frames."""

import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, multiprocessing, nn

from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings, TrainingSettings
from raysearch.training.loop import Objective, fit
from raysearch.training.process import mean_over_processes, rank
from raysearch.training.trainer import Run

CONFIG = StudentSettings(depth=1, width=16, heads=2, channels=8, position_kernel=3).encoder()
SAMPLES = [8000, 8000, 8000, 1000]


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


class Loudness(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student = Encoder(CONFIG)
        self.head = nn.Linear(16, 1)

    def forward(self, audio_BS, samples_B):
        encoded = self.student(audio_BS, samples_B)
        error_BT = (self.head(encoded.output_BTD)[..., 0] - 1).square()
        real_BT = torch.arange(error_BT.shape[1]) < encoded.frames_B[:, None]
        return mean_over_processes(error_BT, real_BT), {}


def train(folder, rows):
    torch.set_num_threads(1)
    settings = TrainingSettings(lr=1e-3, checkpoint_updates=2)
    run = Run(folder, torch.device("cpu"), 0, "fp32", (3,), settings)
    inputs = lambda step, batch: {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B}  # noqa: E731
    objective = Objective(Loudness(), Speeches(rows), inputs, lambda encoder, final: {"eval/rank": float(rank())})
    return list(fit(run, objective))


def work(number, port, folder):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    (report,) = train(folder, [2 * number, 2 * number + 1])
    assert ("eval/rank" in report.metrics) == (number == 0)
    distributed.destroy_process_group()


def test_two_processes_then_the_weights_of_one_with_both_batches(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train(one, [0, 1, 2, 3])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, two), nprocs=2)
    single, double = (load_file(folder / "student/model.safetensors") for folder in (one, two))
    for name, weights in single.items():
        assert double[name].numpy() == pytest.approx(weights.numpy(), abs=2e-5), name
