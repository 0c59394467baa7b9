"""A head that is trained first, by one of several processes while the others wait."""

from __future__ import annotations

import socket

import torch
from torch import distributed, multiprocessing

from raysearch.targets.store import FolderStore
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.settings import PhonemesSettings
from raysearch.teachers.heads import trained_head
from raysearch.training.process import alone, rank, world_size

CPU = torch.device("cpu")


def work(number, port, folder, teacher, corpus):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    with alone():
        assert (rank(), world_size()) == (0, 1)
    assert (rank(), world_size()) == (number, 2)
    task = Phonemes(PhonemesSettings(updates=3, batch_s=6.0, lrs=[0.1]))
    head = trained_head(task, teacher, corpus, FolderStore(folder), CPU, 0)
    mine = head.module.weight_VD.detach()
    both = [torch.empty_like(mine), torch.empty_like(mine)]
    distributed.all_gather(both, mine)
    assert mine.any()
    assert torch.equal(*both)
    distributed.destroy_process_group()


def test_two_processes_then_one_trains_the_head_and_both_have_it(tones, small_teacher, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, tmp_path, small_teacher, tones), nprocs=2)
    assert len(FolderStore(tmp_path).ls()) == 1
