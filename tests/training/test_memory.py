"""The largest batch that fits, on a made-up device whose memory holds so many samples."""

import json
import socket

import numpy as np
import pytest
import torch
from lhotse import AudioSource, Recording
from lhotse.cut import MonoCut
from torch import distributed, multiprocessing, nn

from raysearch.corpora.batches import AudioStore, TrainingBatches
from raysearch.training.loss_module import LossModule
from raysearch.training.memory import FILE, fitting
from raysearch.training.settings import TrainingSettings

CPU = torch.device("cpu")


class Ones(AudioStore):
    def audio(self, cut):
        return np.ones(cut.num_samples, np.float32)


def cut_of(number, seconds):
    source = AudioSource(type="file", channels=[0], source="absent.flac")
    samples = round(16_000 * seconds)
    recording = Recording(str(number), [source], 16_000, samples, seconds)
    return MonoCut(id=str(number), start=0, duration=seconds, channel=0, recording=recording)


CUTS = [cut_of(number, 1.0) for number in range(64)]


class Small(LossModule):
    """Runs out of memory above so many seconds, in the forward or in the backward pass."""

    def __init__(self, holds_s, where="forward"):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))
        self.tried_s = []
        self._holds_s, self._where = holds_s, where

    def counts(self, audio_BS):
        return {"samples": audio_BS.numel()}

    def share(self, counts, audio_BS):
        self.calls += 1
        self.tried_s.append(audio_BS.numel() / 16_000)
        full = self.tried_s[-1] > self._holds_s
        if full and self._where == "forward":
            raise torch.OutOfMemoryError("full")
        loss = (audio_BS * self.weight).sum() / counts["samples"]
        if full:
            loss.register_hook(self._out_of_memory)
        return loss, {}

    @staticmethod
    def _out_of_memory(gradient):
        raise torch.OutOfMemoryError("full")


def fit(folder, module, asked_s, cuts=CUTS, accumulate=1):
    """Seconds in a batch and batches in an update."""
    asked = TrainingSettings(batch_s=asked_s, accumulate=accumulate)
    build = lambda batch_s: TrainingBatches(cuts, Ones(), batch_s, 0)  # noqa: E731
    prepare = lambda step, batch: {"audio_BS": batch.audio_BS}  # noqa: E731
    batches, found = fitting(folder, asked, build, module, prepare, CPU, "fp32")
    assert batches.batch_s == found.batch_s
    return found.batch_s, found.accumulate


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_batch_that_does_not_fit_is_halved_until_one_does_and_leaves_no_trace(tmp_path, where):
    module = Small(5.0, where)
    assert fit(tmp_path, module, 16.0) == (4.0, 4)
    assert module.tried_s == [16.0, 8.0, 4.0]
    assert module.weight.grad is None
    assert module.calls == 0


def test_batch_that_fits_is_tried_once_and_never_again_on_resume(tmp_path):
    module = Small(100.0)
    assert fit(tmp_path, module, 16.0) == (16.0, 1)
    assert fit(tmp_path, module, 16.0) == (16.0, 1)
    assert module.tried_s == [16.0]


def test_smaller_batch_is_kept_with_its_accumulation_on_resume(tmp_path):
    module = Small(5.0)
    assert fit(tmp_path, module, 16.0, accumulate=3) == (4.0, 12)
    assert fit(tmp_path, module, 16.0, accumulate=3) == (4.0, 12)
    assert module.tried_s == [16.0, 8.0, 4.0]


def test_retry_that_asks_for_half_twice_gets_half_of_what_ran_out_of_memory(tmp_path):
    assert fit(tmp_path, Small(5.0), 16.0) == (4.0, 4)
    assert fit(tmp_path, Small(5.0), 8.0, accumulate=2) == (2.0, 8)
    assert json.loads((tmp_path / FILE).read_text()) == {"asked_s": 8.0, "batch_s": 2.0, "accumulate": 8}


def test_single_cut_that_does_not_fit_is_out_of_memory(tmp_path):
    with pytest.raises(torch.OutOfMemoryError, match="a cut of 96000 samples"):
        fit(tmp_path, Small(5.0), 16.0, [cut_of(0, 6.0)])
    assert not (tmp_path / FILE).exists()


def work(number, port, folder):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    assert fit(folder / str(number), Small((9.0, 3.0)[number]), 8.0) == (2.0, 4)
    distributed.destroy_process_group()


def test_processes_take_what_fits_all_of_them(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, tmp_path), nprocs=2)
