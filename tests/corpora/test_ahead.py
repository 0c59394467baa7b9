"""Readers: the same batches in the same order as without them, and errors in their turn."""

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.corpora.ahead import ahead
from raysearch.corpora.batches import AudioStore, TrainingBatches
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_flac
from tests.corpora.test_batches import cut_of


@pytest.mark.parametrize("readers", [1, 2])
def test_readers_then_the_order_of_one_process_and_other_processes_made_it(readers: int) -> None:
    found = list(islice(ahead(lambda step: (step, os.getpid()), 5, readers), 8))
    assert [step for step, _ in found] == list(range(5, 13))
    assert len({maker for _, maker in found} - {os.getpid()}) == readers


@pytest.mark.parametrize("readers", [0, 2])
def test_error_of_the_user_then_its_own_line_in_its_turn(readers: int) -> None:
    def make(step: int) -> int:
        if step == 2:
            raise InputError("corpus.root: gone; expected a folder")
        return step

    made = ahead(make, 0, readers)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(InputError, match=r"^corpus\.root: gone; expected a folder$"):
        next(made)


def test_batches_of_readers_are_those_of_one_process_and_readers_keep_no_audio(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cuts = []
    for number, seconds in enumerate(rng.uniform(0.2, 0.6, size=12).round(2)):
        path = write_flac(tmp_path / f"{number}.flac", noise(seconds, number))
        cuts.append(cut_of(f"{number:02d}", round(seconds * 16_000), path))
    store = AudioStore()
    plain = islice(TrainingBatches(cuts, AudioStore(), 1.5, seed=3).from_step(4), 9)
    ahead_of = islice(TrainingBatches(cuts, store, 1.5, seed=3, readers=2).from_step(4), 9)
    for one, other in zip(plain, ahead_of, strict=True):
        assert torch.equal(one.audio_BS, other.audio_BS)
        assert torch.equal(one.samples_B, other.samples_B)
        assert one.cuts == other.cuts
    assert not store._kept
