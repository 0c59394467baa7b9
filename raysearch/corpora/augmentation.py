"""Disturbs speech as rooms, machines and other people do. Every random number is drawn from the caller's generator.

Shapes: S samples, R samples of an impulse response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from raysearch.corpora.audio import FULL_SCALE, decode
from raysearch.corpora.settings import AugmentationSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError

Audio = NDArray[np.float32]
BABBLERS = 3
"""Other cuts that are added up to make babble."""
SPEEDS = ((9, 10), (11, 10))
"""Lengths as fractions of the original: the first is faster, the second slower."""


class Augmenter:
    """Disturbs a crop with the settings' probability, and else gives it back as it was. The length stays the same.

    Raises: InputError from the constructor if a folder of the settings holds no audio.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings
        self._noises = _files(settings.musan, "augmentation.musan")
        self._rooms = _files(settings.rirs, "augmentation.rirs")

    def __call__(
        self, audio_S: Audio, rng: np.random.Generator, draw_speech: Callable[[np.random.Generator, int], Audio]
    ) -> Audio:
        """The crop, disturbed or not. `draw_speech(rng, samples)` gives other speech of that length, for babble."""
        if rng.random() >= self.settings.prob:
            return audio_S
        kind = self.settings.kinds[rng.integers(len(self.settings.kinds))]
        if kind == "speed":
            return _fitted(resample_poly(audio_S, *SPEEDS[rng.integers(len(SPEEDS))]).astype(np.float32), len(audio_S))
        if kind == "reverb":
            response_R = self._recorded(self._rooms, rng) if self._rooms else room(rng)
            return reverberated(audio_S, response_R)
        snr_db = rng.uniform(*self.settings.snr_db)
        if kind == "babble":
            noise_S = np.sum([draw_speech(rng, len(audio_S)) for _ in range(BABBLERS)], axis=0)
        elif self._noises:
            noise_S = _fitted(self._recorded(self._noises, rng, len(audio_S)), len(audio_S))
        else:
            noise_S = coloured_noise(len(audio_S), rng)
        return mixed(audio_S, noise_S, snr_db)

    @staticmethod
    def _recorded(files: Sequence[Path], rng: np.random.Generator, samples: int = -1) -> Audio:
        """A random one of the files. One that is longer than needed is read from a random place on."""
        file = files[int(rng.integers(len(files)))]
        length = soundfile.info(file).frames
        start = int(rng.integers(length - samples)) if 0 < samples < length else 0
        return decode(file, start, samples if 0 < samples < length else -1).astype(np.float32) / np.float32(FULL_SCALE)


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


def _as_loud(x_S: Audio, like_S: Audio) -> Audio:
    power, wanted = np.mean(np.square(x_S)), np.mean(np.square(like_S))
    return x_S * np.float32(np.sqrt(wanted / max(float(power), 1e-12)))


def _fitted(x_S: Audio, samples: int) -> Audio:
    """The audio, repeated or cut to so many samples."""
    return np.resize(x_S, samples)


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
