"""Disturbs speech as rooms, machines and other people do. Every random number is drawn from the caller's generator.

Shapes: S samples, R samples of an impulse response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from raysearch.corpora.audio import FULL_SCALE, decode
from raysearch.corpora.augmentation_settings import AugmentationSettings, Kind
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError

Audio = NDArray[np.float32]
BABBLERS = 3
"""Other cuts that are added up to make babble."""
SPEEDS = ((9, 10), (11, 10))
"""Lengths as fractions of the original: the first is faster, the second slower."""
CLIPPED_AT = (0.5, 0.9)
"""Range of the level at which a crop is clipped, as a share of its peaks. Source: OS-KDFT's public code."""


class Heard(NamedTuple):
    """A crop as its teacher and its student hear it."""

    clean_S: Audio
    """What the teacher hears: the crop as it was spoken, or played at another speed."""
    disturbed_S: Audio
    """What the student hears. Every sound lies where it lies in `clean_S`."""
    voice: int
    """0 for the crop as it was spoken, else one more than the place of its speed in `SPEEDS`."""


class Augmenter:
    """Disturbs a crop with the settings' probability, and else gives it back as it was. The length stays the same.

    Raises: InputError from the constructor if a folder of the settings holds no audio, or lacks the music that is
    asked for.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings
        of_musan, self._music, self._speech = (_category(settings.musan, name) for name in ("noise", "music", "speech"))
        self._noises = of_musan or _files(settings.musan, "augmentation.musan")
        self._noise_db = settings.noise_db if of_musan else settings.snr_db
        self._rooms = _files(settings.rirs, "augmentation.rirs")
        if any("music" in kind for kind in settings.kinds) and not self._music:
            raise InputError(f"augmentation.musan: {settings.musan}; expected a folder with recordings in its `music`")

    @property
    def voices(self) -> int:
        """As how many speakers one speaker counts. It is 1 if nothing changes the speed.

        A voice that is played faster is higher too, which makes it the voice of somebody else. Source: Kaldi's recipes
        for speakers, whose threefold speed perturbation trebles the speakers.
        """
        return 1 + len(SPEEDS) if self.settings.prob and "speed" in self.settings.kinds else 1

    def __call__(
        self, audio_S: Audio, rng: np.random.Generator, draw_speech: Callable[[np.random.Generator, int], Audio]
    ) -> Heard:
        """The crop, disturbed or not. `draw_speech(rng, samples)` gives other speech of that length, for babble."""
        if rng.random() >= self.settings.prob:
            return Heard(audio_S, audio_S, 0)
        kind = self.settings.kinds[rng.integers(len(self.settings.kinds))]
        voice = 0
        if kind == "speed":
            voice = 1 + int(rng.integers(len(SPEEDS)))
            audio_S = _fitted(resample_poly(audio_S, *SPEEDS[voice - 1]).astype(np.float32), len(audio_S))
        disturbed_S = self._disturbed(kind, audio_S, rng, draw_speech)
        if rng.random() < self.settings.clip:
            disturbed_S = clipped(disturbed_S, rng.uniform(*CLIPPED_AT))
        return Heard(audio_S, disturbed_S, voice)

    def _disturbed(
        self,
        kind: Kind,
        audio_S: Audio,
        rng: np.random.Generator,
        draw_speech: Callable[[np.random.Generator, int], Audio],
    ) -> Audio:
        if kind == "reverb":
            return reverberated(audio_S, self._recorded(self._rooms, rng) if self._rooms else room(rng))
        if kind == "noise":
            samples = len(audio_S)
            noise_S = self._sum(self._noises, 1, samples, rng) if self._noises else coloured_noise(samples, rng)
            return mixed(audio_S, noise_S, rng.uniform(*self._noise_db))
        if "babble" in kind:
            audio_S = self._babbled(audio_S, rng, draw_speech)
        if "music" in kind:
            music_S = self._sum(self._music, 1, len(audio_S), rng)
            audio_S = mixed(audio_S, music_S, rng.uniform(*self.settings.music_db))
        return audio_S

    def _babbled(
        self, audio_S: Audio, rng: np.random.Generator, draw_speech: Callable[[np.random.Generator, int], Audio]
    ) -> Audio:
        if not self._speech:
            others = [draw_speech(rng, len(audio_S)) for _ in range(BABBLERS)]
            return mixed(audio_S, np.sum(others, axis=0), rng.uniform(*self.settings.snr_db))
        fewest, most = self.settings.speech_files
        babble_S = self._sum(self._speech, int(rng.integers(fewest, most + 1)), len(audio_S), rng)
        return mixed(audio_S, babble_S, rng.uniform(*self.settings.speech_db))

    def _sum(self, files: Sequence[Path], count: int, samples: int, rng: np.random.Generator) -> Audio:
        """So many random recordings, added up."""
        found: Audio = np.sum([_fitted(self._recorded(files, rng, samples), samples) for _ in range(count)], axis=0)
        return found

    @staticmethod
    def _recorded(files: Sequence[Path], rng: np.random.Generator, samples: int = -1) -> Audio:
        """A random one of the files. One that is longer than needed is read from a random place on."""
        file = files[int(rng.integers(len(files)))]
        length = soundfile.info(file).frames
        start = int(rng.integers(length - samples)) if 0 < samples < length else 0
        audio_S = decode(file, start, samples if 0 < samples < length else -1).astype(np.float32)
        # Rooms are often recorded by several microphones, of which the first is taken.
        return (audio_S if audio_S.ndim == 1 else audio_S[:, 0]) / np.float32(FULL_SCALE)


def coloured_noise(samples: int, rng: np.random.Generator) -> Audio:
    """Noise whose power falls with frequency as 1/f^a, where a is drawn between white noise (0) and brown noise (2)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    # The lowest bin has frequency 0, whose power would be infinite.
    bins = np.maximum(np.arange(len(spectrum)), 1)
    return np.fft.irfft(spectrum * bins ** (-rng.uniform(0, 2) / 2), n=samples).astype(np.float32)


def room(rng: np.random.Generator) -> Audio:
    """The impulse response of a made-up room: direct sound, early reflections, and noise that decays in 0.1 to 0.6 s.

    The decay time is the time in which the noise falls by 60 dB.

    Source: the exponentially decaying noise model of late reverberation (Polack, 1988).
    """
    decay_s = rng.uniform(0.1, 0.6)
    time_R = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    response_R = rng.standard_normal(len(time_R)) * 10 ** (-3 * time_R / decay_s) * rng.uniform(0.02, 0.1)
    early = rng.integers(16, len(time_R) // 4, size=6)
    response_R[early] += rng.uniform(-0.5, 0.5, size=6)
    response_R[0] = 1.0
    return response_R.astype(np.float32)


def reverberated(audio_S: Audio, response_R: Audio) -> Audio:
    """The audio as the room makes it sound, as long and as loud as before. The direct sound stays where it was."""
    wet_S = fftconvolve(audio_S, response_R)[np.abs(response_R).argmax() :][: len(audio_S)]
    return _as_loud(wet_S.astype(np.float32), audio_S)


def mixed(audio_S: Audio, noise_S: Audio, snr_db: float) -> Audio:
    """The sum of speech and noise, with the speech `snr_db` decibels above the noise."""
    return audio_S + _as_loud(noise_S, audio_S) * np.float32(10 ** (-snr_db / 20))


def clipped(audio_S: Audio, share: float) -> Audio:
    """The audio with its positive and its negative peaks cut off at this share of the highest and the lowest one."""
    return np.clip(audio_S, share * audio_S.min(), share * audio_S.max())


def _as_loud(x_S: Audio, like_S: Audio) -> Audio:
    power, wanted = np.mean(np.square(x_S)), np.mean(np.square(like_S))
    return x_S * np.float32(np.sqrt(wanted / max(float(power), 1e-12)))


def _fitted(x_S: Audio, samples: int) -> Audio:
    """The audio, repeated or cut to so many samples."""
    return np.resize(x_S, samples)


def _category(musan: Path | None, name: str) -> list[Path]:
    """The recordings of one of MUSAN's folders. Empty if there is no such folder."""
    return _files(musan / name, "augmentation.musan") if musan and (musan / name).is_dir() else []


def _files(folder: Path | None, key: str) -> list[Path]:
    if folder is None:
        return []
    found = sorted(path for suffix in ("wav", "flac") for path in folder.rglob(f"*.{suffix}"))
    if not found:
        raise InputError(f"{key}: {folder}: no .wav or .flac below it; expected recordings")
    rate = soundfile.info(found[0]).samplerate
    if rate != SAMPLE_RATE_HZ:
        raise InputError(f"{key}: {found[0]}: {rate} Hz; expected {SAMPLE_RATE_HZ} Hz")
    return found
