"""Two processes that die within an epoch, between two checkpoints, and go on: the losses of never stopping."""

import json
import socket

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, multiprocessing

from raysearch.corpora.batches import TrainingBatches
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.teacher import Teacher
from raysearch.methods.labels.hubert import Hubert
from raysearch.methods.labels.settings import HubertSettings
from raysearch.methods.trial import Trial
from raysearch.targets.build import build_label_set
from raysearch.targets.mels import mels_of
from raysearch.targets.store import Store
from raysearch.training.monitoring.meter import TIMINGS
from raysearch.training.recipe import not_evaluated
from raysearch.training.trainer import Trainer

CPU = torch.device("cpu")
BATCH_S, ACCUMULATE, SEED, UPDATES, CHECKPOINTS, DEATH = 2.0, 2, 1, 8, 3, 4
SETTINGS = {
    "student": {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3},
    "targets": {"clusters": 4},
    "training": {
        "lr": 1e-3,
        "batch_s": BATCH_S,
        "accumulate": ACCUMULATE,
        "checkpoint_updates": CHECKPOINTS,
        "dropout": 0.1,
    },
}


def train(folder, corpus, readers):
    store = Store(folder.parent / "store")
    teacher = Teacher(load_encoder(folder.parent / "teacher").eval().requires_grad_(False), "t")
    trial = Trial(
        number=0,
        settings=HubertSettings.model_validate(SETTINGS),
        corpus=corpus,
        teacher=teacher,
        label_set=lambda key: build_label_set(key, teacher, corpus, corpus.audio, store.label_sets, CPU, 10.0),
        evaluate=not_evaluated,
        rungs=(UPDATES,),
        folder=folder,
        device=CPU,
        seed=SEED,
        readers=readers,
        mels=lambda bins: mels_of(corpus, bins, store.mels),
    )
    list(Hubert().run(trial))


def deadly(trainer, inputs, update=Trainer.update):
    if trainer.step == DEATH:
        raise KeyboardInterrupt
    return update(trainer, inputs)


def work(number, port, folder, corpus):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    train(folder / "whole", corpus, readers=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "update", deadly)
        with pytest.raises(KeyboardInterrupt):
            train(folder / "parts", corpus, readers=0)
    distributed.barrier()
    assert [step for step, _ in curve(folder / "parts")] == list(range(1, DEATH + 1))
    train(folder / "parts", corpus, readers=2)
    distributed.destroy_process_group()


def curve(folder):
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [
        (line["step"], {name: value for name, value in line["metrics"].items() if name not in TIMINGS})
        for line in lines
    ]


def test_two_processes_resumed_within_an_epoch_with_other_readers_then_the_same_losses(tones, small_teacher, tmp_path):
    epoch = TrainingBatches(tones.splits["train"], tones.audio, BATCH_S, SEED, 0, 2).steps_per_epoch
    assert 0 not in (CHECKPOINTS * ACCUMULATE % epoch, DEATH * ACCUMULATE % epoch), "neither lies at an epoch's end"
    save_encoder(small_teacher.encoder, tmp_path / "teacher")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, tmp_path, tones), nprocs=2)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert [step for step, _ in curve(tmp_path / "parts")] == list(range(1, UPDATES + 1))
    name = f"checkpoints/{UPDATES:09d}/tensors.safetensors"
    one, other = (load_file(tmp_path / folder / name) for folder in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one | other)
