"""Speech Commands as espeak-ng speaks it: the ten words and three others in a few voices, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from raysearch.corpora.readers.speech_commands import WORDS
from raysearch.corpora.synthetic.espeak import Voice, speak

OTHERS = ("bed", "house", "seven")
VOICES = {"train": [(40, 150), (50, 165), (60, 150)], "dev": [(45, 155)], "test": [(55, 160)]}
"""Pitch and speed of each speaker."""


def spoken_commands(root: Path) -> Path:
    """A folder as the archive of Speech Commands unpacks."""
    names: dict[str, list[str]] = {split: [] for split in VOICES}
    words = [*WORDS, *OTHERS]
    for split, voices in VOICES.items():
        for pitch, rate in voices:
            speech = speak(Voice("en-us", pitch, rate), words)
            for word, audio_S in zip(words, speech.utterances, strict=True):
                name = f"{word}/{pitch}{rate}_nohash_0.wav"
                names[split].append(name)
                (root / word).mkdir(parents=True, exist_ok=True)
                soundfile.write(root / name, resample_poly(audio_S / 32_768, 320, 441), 16_000)
                assert speech.rate_hz == 22_050
    for split, file in (("dev", "validation_list.txt"), ("test", "testing_list.txt")):
        (root / file).write_text("\n".join(names[split]) + "\n")
    (root / "_background_noise_").mkdir()
    noise_S = np.random.default_rng(0).normal(0, 0.05, 12 * 16_000)
    soundfile.write(root / "_background_noise_" / "white_noise.wav", noise_S, 16_000)
    return root
