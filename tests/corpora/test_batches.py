"""Batches: which cuts they hold (against counting by hand) and what their tensors hold (against soundfile)."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lhotse import AudioSource, Recording
from lhotse.cut import MonoCut

from raysearch.corpora import batches
from raysearch.corpora.batches import AudioStore, Batch, TrainingBatches, evaluation_batches, load_audio
from tests.corpora.speech_trees import noise, write_flac

LENGTHS = st.lists(st.integers(1, 40_000), min_size=1, max_size=60)
BATCH_S = st.sampled_from([0.5, 1.0, 3.0, 10.0])


def cut_of(name: str, samples: int, path: Path | str = "absent.flac") -> MonoCut:
    source = AudioSource(type="file", channels=[0], source=str(path))
    seconds = samples / 16_000
    recording = Recording(id=name, sources=[source], sampling_rate=16_000, num_samples=samples, duration=seconds)
    return MonoCut(id=name, start=0, duration=seconds, channel=0, recording=recording)


def cuts_of(lengths: list[int]) -> list[MonoCut]:
    return [cut_of(f"cut-{number:03d}", samples) for number, samples in enumerate(lengths)]


class Ones(AudioStore):
    """No disk: every cut is ones."""

    def audio(self, cut: MonoCut) -> np.ndarray:
        return np.ones(cut.num_samples, np.float32)


def ids(found: list[Batch]) -> list[list[str]]:
    return [[cut.id for cut in batch.cuts] for batch in found]


def assert_within(batch: Batch, batch_s: float) -> None:
    rows, width = batch.audio_BS.shape
    assert rows == 1 or rows * width <= batch_s * 16_000
    assert batch.samples_B.tolist() == [cut.num_samples for cut in batch.cuts]
    assert batch.audio_BS.sum(1).tolist() == batch.samples_B.tolist()  # ones, then zeros


@given(LENGTHS, BATCH_S)
@settings(deadline=None, max_examples=60)
def test_evaluation_batches_hold_every_cut_once_within_the_limit(lengths: list[int], batch_s: float) -> None:
    found = list(evaluation_batches(cuts_of(lengths), Ones(), batch_s))
    assert sorted(chain(*ids(found))) == [cut.id for cut in cuts_of(lengths)]
    for batch in found:
        assert_within(batch, batch_s)


def test_evaluation_batches_are_the_same_for_any_order_of_cuts() -> None:
    cuts = cuts_of([500, 900, 700, 900, 100])
    forward, backward = (list(evaluation_batches(order, Ones(), 0.12)) for order in (cuts, cuts[::-1]))
    assert ids(forward) == ids(backward) == [["cut-001", "cut-003"], ["cut-002", "cut-000"], ["cut-004"]]


@given(LENGTHS, BATCH_S, st.integers(0, 3), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_training_epoch_holds_every_cut_within_the_limit(
    lengths: list[int], batch_s: float, seed: int, world_size: int
) -> None:
    cuts = cuts_of(lengths)
    workers = [TrainingBatches(cuts, Ones(), batch_s, seed, rank, world_size) for rank in range(world_size)]
    steps = workers[0].steps_per_epoch
    seen: list[str] = []
    for step in zip(*(islice(worker.from_step(0), steps) for worker in workers), strict=True):
        held = list(chain(*ids(list(step))))
        assert len(set(held)) == len(held) or len(set(held)) < world_size
        seen += set(held)
        for batch in step:
            assert_within(batch, batch_s)
    assert sorted(seen) == [cut.id for cut in cuts]


@given(st.integers(0, 70), st.integers(0, 2))
@settings(deadline=None, max_examples=20)
def test_training_from_step_equals_running_up_to_it(step: int, seed: int) -> None:
    cuts = cuts_of(list(range(1_000, 31_000, 1_000)))
    run = list(islice(TrainingBatches(cuts, Ones(), 4.0, seed).from_step(0), step + 5))
    resumed = list(islice(TrainingBatches(cuts, Ones(), 4.0, seed).from_step(step), 5))
    assert ids(run[step:]) == ids(resumed)


@given(LENGTHS, BATCH_S, st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_heaviest_is_at_least_as_large_as_any_batch_and_within_the_limit(
    lengths: list[int], batch_s: float, world_size: int
) -> None:
    plan = TrainingBatches(cuts_of(lengths), Ones(), batch_s, 0, world_size=world_size)
    heaviest = plan.heaviest()
    assert heaviest is not None
    assert_within(heaviest, batch_s)
    for batch in islice(plan.from_step(0), 3 * plan.steps_per_epoch):
        assert batch.audio_BS.numel() <= heaviest.audio_BS.numel()


def test_training_resume_reads_no_audio_of_skipped_steps() -> None:
    read: list[str] = []

    class Noting(Ones):
        def audio(self, cut: MonoCut) -> np.ndarray:
            read.append(cut.id)
            return super().audio(cut)

    batch = next(TrainingBatches(cuts_of([1_000] * 50), Noting(), 0.25, 0).from_step(1_003))
    assert read == [cut.id for cut in batch.cuts]


def test_training_differs_between_epochs_and_seeds() -> None:
    cuts = cuts_of(list(range(1_000, 31_000, 1_000)))
    plan = TrainingBatches(cuts, Ones(), 2.0, 0)
    both = ids(list(islice(plan.from_step(0), 2 * plan.steps_per_epoch)))
    assert both[: plan.steps_per_epoch] != both[plan.steps_per_epoch :]
    assert both[:3] != ids(list(islice(TrainingBatches(cuts, Ones(), 2.0, 1).from_step(0), 3)))


def test_training_pads_little_when_lengths_differ_much() -> None:
    lengths = np.random.default_rng(0).integers(8_000, 160_000, 600).tolist()
    plan = TrainingBatches(cuts_of(lengths), Ones(), 40.0, 0)
    found = list(islice(plan.from_step(0), plan.steps_per_epoch))
    padded = sum(batch.audio_BS.numel() for batch in found)
    # Unsorted batches of 4 lengths drawn from 0.5 to 10 s would be 39 % padding in the mean.
    assert 1 - sum(lengths) / padded < 0.1


def test_audio_equals_soundfile_kept_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write_flac(tmp_path / f"{seed}.flac", noise(0.5, seed)) for seed in (0, 1))
    cuts = [cut_of("first", 8_000, first), cut_of("second", 8_000, second)]
    store = AudioStore(limit_bytes=16_000)
    wanted = [soundfile.read(path, dtype="float32")[0] for path in (first, second)]
    for cut, audio_S in zip(cuts, wanted, strict=True):
        np.testing.assert_array_equal(store.audio(cut), audio_S)
        np.testing.assert_array_equal(load_audio(cut), audio_S)
    monkeypatch.setattr(batches, "decode", None)
    np.testing.assert_array_equal(store.audio(cuts[0]), wanted[0])
    with pytest.raises(TypeError):
        store.audio(cuts[1])  # The second found no room.


def test_audio_of_a_piece_is_that_piece(tmp_path: Path) -> None:
    path = write_flac(tmp_path / "long.flac", noise(1.0))
    piece = cut_of("long", 16_000, path).truncate(offset=0.25, duration=0.5)
    np.testing.assert_array_equal(load_audio(piece), soundfile.read(path, dtype="float32")[0][4_000:12_000])


def test_batch_rows_are_cuts_padded_with_zeros(tmp_path: Path) -> None:
    paths = [write_flac(tmp_path / f"{n}.flac", noise(n / 10, n)) for n in (2, 3)]
    cuts = [cut_of("a", 3_200, paths[0]), cut_of("b", 4_800, paths[1])]
    (batch,) = evaluation_batches(cuts, AudioStore(), 1.0)
    assert batch.audio_BS.dtype == torch.float32
    assert batch.samples_B.dtype == torch.int64
    np.testing.assert_array_equal(batch.audio_BS[0], load_audio(cuts[1]))
    np.testing.assert_array_equal(batch.audio_BS[1, :3_200], load_audio(cuts[0]))
    assert not batch.audio_BS[1, 3_200:].any()
