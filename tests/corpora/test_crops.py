import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from raysearch.corpora.augmentation import Augmenter, coloured_noise, mixed, reverberated, room
from raysearch.corpora.batches import AudioStore
from raysearch.corpora.crops import SpeakerCrops
from raysearch.corpora.readers.reading import whole_cut
from raysearch.corpora.settings import AugmentationSettings
from raysearch.errors import InputError


@pytest.fixture
def cuts(tmp_path: Path):
    rng = np.random.default_rng(0)
    made = []
    for index in range(7):
        path = tmp_path / f"{index}.wav"
        samples = 3_000 + 2_000 * index
        soundfile.write(path, 0.1 * rng.standard_normal(samples), 16_000)
        made.append(whole_cut(str(index), path, samples, f"s{index % 3}"))
    return made


def crops_of(cuts, augmenter=None, batch=4, rank=0, world_size=1):
    return SpeakerCrops(
        cuts, AudioStore(), batch=batch, crop_s=0.5, augmenter=augmenter, seed=1, rank=rank, world_size=world_size
    )


def noisy(**changes):
    return Augmenter(AugmentationSettings(**{"prob": 1.0, **changes}))


def test_every_cut_comes_once_before_any_comes_again(cuts):
    names = [cut.id for crops in itertools.islice(crops_of(cuts).from_step(0), 7) for cut in crops.cuts]
    assert all(sorted(names[start : start + 7]) == list("0123456") for start in range(0, 28, 7))


def test_crops_are_full_and_tell_their_speakers(cuts):
    crops = next(crops_of(cuts).from_step(0))
    assert crops.audio_BS.shape == crops.disturbed_BS.shape == (4, 8_000)
    assert crops.samples_B.tolist() == [8_000] * 4
    assert crops.speakers_B.tolist() == [int(cut.id) % 3 for cut in crops.cuts]
    assert (crops.audio_BS.std(1) > 0.05).all()


def test_processes_share_the_batch_of_one_and_any_step_can_be_entered(cuts):
    whole = next(itertools.islice(crops_of(cuts, noisy()).from_step(0), 3, None))
    halves = [next(crops_of(cuts, noisy(), rank=rank, world_size=2).from_step(3)) for rank in (0, 1)]
    for name in ("audio_BS", "disturbed_BS", "speakers_B"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(half, name) for half in halves]))


@pytest.mark.parametrize("kind", ["noise", "babble", "reverb", "speed"])
def test_each_kind_disturbs_and_keeps_the_length(cuts, kind):
    crops = next(crops_of(cuts, noisy(kinds=[kind])).from_step(0))
    assert crops.disturbed_BS.shape == crops.audio_BS.shape
    assert crops.disturbed_BS.dtype == torch.float32
    assert torch.isfinite(crops.disturbed_BS).all()
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(crops.audio_BS, crops.disturbed_BS, strict=True))


def test_probability_is_the_share_that_is_disturbed(cuts):
    crops = next(crops_of(cuts, Augmenter(AugmentationSettings(prob=0.25)), batch=400).from_step(0))
    changed = (crops.audio_BS != crops.disturbed_BS).any(1).float().mean()
    assert changed.item() == pytest.approx(0.25, abs=0.07)


def test_noise_lies_the_decibels_below_that_were_asked():
    rng = np.random.default_rng(0)
    speech, noise = rng.standard_normal(16_000).astype(np.float32), coloured_noise(16_000, rng)
    added = mixed(speech, noise, 10.0) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(10.0, abs=0.01)


def test_room_keeps_level_and_place():
    rng = np.random.default_rng(0)
    click = np.zeros(8_000, np.float32)
    click[1_000] = 1.0
    wet = reverberated(click, room(rng))
    assert np.abs(wet).argmax() == 1_000
    assert not wet[:1_000].any() or np.abs(wet[:1_000]).max() < 1e-6
    assert np.mean(wet**2) == pytest.approx(np.mean(click**2), rel=1e-4)


def test_recordings_of_noise_and_rooms_take_the_place_of_made_ones(cuts, tmp_path: Path):
    folder = tmp_path / "noise" / "free"
    folder.mkdir(parents=True)
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(4_000) / 16_000)
    soundfile.write(folder / "tone.wav", tone, 16_000)
    crops = next(crops_of(cuts, noisy(kinds=["noise"], musan=folder.parent, snr_db=(0, 0))).from_step(0))
    added = (crops.disturbed_BS - crops.audio_BS)[0].numpy()
    assert np.abs(np.fft.rfft(added)).argmax() * 2 == pytest.approx(1_000, abs=2)
    with pytest.raises(InputError, match=r"augmentation\.rirs: .*: no \.wav or \.flac below it"):
        Augmenter(AugmentationSettings(rirs=tmp_path / "nothing"))
