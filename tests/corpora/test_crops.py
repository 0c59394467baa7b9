import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from raysearch.corpora.augmentation import Augmenter, coloured_noise, mixed, reverberated, room
from raysearch.corpora.augmentation_settings import AugmentationSettings
from raysearch.corpora.batches import AudioStore
from raysearch.corpora.crops import SpeakerCrops
from raysearch.corpora.readers.reading import whole_cut
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


@pytest.mark.parametrize(
    "changes", [{"kinds": ["noise"]}, {"kinds": ["babble"]}, {"kinds": ["reverb"]}, {"kinds": ["none"], "clip": 1.0}]
)
def test_each_kind_disturbs_and_keeps_the_length(cuts, changes):
    crops = next(crops_of(cuts, noisy(**changes)).from_step(0))
    assert crops.disturbed_BS.shape == crops.audio_BS.shape
    assert crops.disturbed_BS.dtype == torch.float32
    assert torch.isfinite(crops.disturbed_BS).all()
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(crops.audio_BS, crops.disturbed_BS, strict=True))


def test_probability_is_the_share_that_is_disturbed(cuts):
    crops = next(crops_of(cuts, Augmenter(AugmentationSettings(prob=0.25)), batch=400).from_step(0))
    changed = (crops.audio_BS != crops.disturbed_BS).any(1).float().mean()
    assert changed.item() == pytest.approx(0.25, abs=0.07)


CLICK_S, HOP = 1.5, 320


def click_frame(audio_S):
    return int(np.abs(audio_S).argmax()) // HOP


@pytest.mark.parametrize("voice", [1, 2])
def test_click_at_another_speed_lies_in_the_same_frame_for_teacher_and_student(voice):
    click_S = np.zeros(32_000, np.float32)
    click_S[round(CLICK_S * 16_000)] = 1.0
    augmenter = noisy(kinds=["speed"], clip=0.5)
    drawn = (augmenter(click_S, np.random.default_rng(seed), None) for seed in range(40))
    heard = next(one for one in drawn if one.voice == voice)
    at_speed = round(CLICK_S * 16_000 * (0.9, 1.1)[voice - 1]) // HOP
    assert abs(click_frame(click_S) - at_speed) > 5
    assert click_frame(heard.clean_S) == click_frame(heard.disturbed_S) == at_speed


def test_each_speed_makes_new_speakers(cuts):
    crops = crops_of(cuts, noisy(kinds=["speed", "none"]), batch=60)
    assert (crops.classes, len(crops.speakers)) == (9, 3)
    batch = next(crops.from_step(0))
    assert set(batch.speakers_B.tolist()) == set(range(9))
    assert [label % 3 for label in batch.speakers_B.tolist()] == [int(cut.id) % 3 for cut in batch.cuts]
    own = next(crops_of(cuts, batch=60).from_step(0)).audio_BS
    unchanged_B = (batch.audio_BS == own).all(1)
    assert torch.equal(unchanged_B, batch.speakers_B < 3)
    assert crops_of(cuts, noisy()).classes == 3


def test_balance_lets_every_speaker_count_the_same(cuts):
    crops = crops_of(cuts, noisy(kinds=["speed"]))
    weight_C = crops.balance()
    # Speaker s0 has three of the seven cuts, the others two each.
    assert weight_C.tolist() == pytest.approx([7 / 9, 7 / 6, 7 / 6] * 3)
    assert sum(weight_C[int(cut.id) % 3] for cut in cuts).item() == pytest.approx(7)


def test_clipping_takes_off_the_peaks_and_leaves_the_rest():
    wave_S = np.sin(np.linspace(0, 20, 16_000)).astype(np.float32)
    heard = noisy(kinds=["none"], clip=1.0)(wave_S, np.random.default_rng(0), None)
    assert heard.clean_S is wave_S
    assert 0.5 <= heard.disturbed_S.max() <= 0.9
    low = np.abs(wave_S) < 0.5
    np.testing.assert_array_equal(heard.disturbed_S[low], wave_S[low])


def test_noise_lies_the_decibels_below_that_were_asked():
    rng = np.random.default_rng(0)
    speech, noise = rng.standard_normal(16_000).astype(np.float32), coloured_noise(16_000, rng)
    added = mixed(speech, noise, 10.0) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(10.0, abs=0.01)


TONES_HZ = {"noise": 1_000, "music": 2_000, "speech": 3_000}


@pytest.fixture
def musan(tmp_path: Path):
    """Recordings of one tone for each category."""
    for name, hz in TONES_HZ.items():
        folder = tmp_path / "musan" / name / "a-source"
        folder.mkdir(parents=True)
        for take in range(2):
            tone_S = 0.3 * np.sin(2 * np.pi * hz * np.arange(6_000 + 4_000 * take) / 16_000)
            soundfile.write(folder / f"{take}.wav", tone_S, 16_000)
    return tmp_path / "musan"


@pytest.mark.parametrize(
    ("kind", "levels_db"),
    [
        ("noise", {"noise": (0, 15)}),
        ("music", {"music": (5, 15)}),
        ("babble", {"speech": (13, 20)}),
        ("babble+music", {"speech": (13, 20), "music": (5, 15)}),
    ],
)
def test_each_of_musan_s_categories_has_its_own_level(musan, kind, levels_db):
    speech_S = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    augmenter, rng = noisy(kinds=[kind], musan=musan, snr_db=(50, 50)), np.random.default_rng(1)
    found_db = {name: [] for name in levels_db}
    for _ in range(12):
        added_S = augmenter(speech_S, rng, None).disturbed_S - speech_S
        power_F = np.abs(np.fft.rfft(added_S)) ** 2
        near = {name: power_F[hz - 300 : hz + 300].sum() for name, hz in TONES_HZ.items()}
        assert all(near[name] < 0.02 * power_F.sum() for name in TONES_HZ.keys() - levels_db.keys())
        for name in levels_db:
            found_db[name].append(10 * np.log10(np.square(speech_S).sum() * len(speech_S) / (2 * near[name])))
    for name, (low, high) in levels_db.items():
        # The music of `babble+music` is set against speech with babble, and tones that are repeated have sidebands.
        assert low - 0.5 <= min(found_db[name]) < max(found_db[name]) <= high + 0.5


def test_babble_adds_up_as_many_recordings_as_asked(musan, monkeypatch):
    augmenter = noisy(kinds=["babble"], musan=musan)
    read = []
    monkeypatch.setattr(augmenter, "_recorded", lambda files, *_: read.append(files) or np.ones(100, np.float32))
    counts = set()
    for seed in range(60):
        read.clear()
        augmenter(np.ones(100, np.float32), np.random.default_rng(seed), None)
        counts.add(len(read))
    assert counts == {3, 4, 5, 6, 7, 8}


def test_music_without_recordings_and_ranges_upside_down_are_refused(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"^augmentation\.musan: None; expected a folder with recordings in its `music`"
    ):
        noisy(kinds=["babble+music"])
    with pytest.raises(InputError, match=r"^music_db: \[15, 5\]; expected the lower number first"):
        AugmentationSettings.checked({"music_db": [15, 5]})


def test_room_of_several_microphones_is_heard_by_the_first(tmp_path: Path):
    response_R2 = np.zeros((800, 2))
    response_R2[0, 0], response_R2[400, 1] = 0.5, 0.5
    soundfile.write(tmp_path / "room.wav", response_R2, 16_000)
    click_S = np.zeros(8_000, np.float32)
    click_S[1_000] = 1.0
    wet_S = noisy(kinds=["reverb"], rirs=tmp_path)(click_S, np.random.default_rng(0), None).disturbed_S
    np.testing.assert_allclose(wet_S, click_S, atol=1e-6)


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
