"""Small LibriSpeech trees on disk, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

Audio = np.ndarray | bytes


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).clip(-1, 1)


def write_flac(path: Path, audio: Audio, rate_hz: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(audio, bytes):
        path.write_bytes(audio)
    else:
        soundfile.write(path, audio, rate_hz, subtype="PCM_16")
    return path


def write_chapter(folder: Path, speaker: str, words: Mapping[str, str], seconds: float = 0.5) -> list[Path]:
    """One chapter of a LibriSpeech tree: `words` by utterance number. Returns its audio files."""
    chapter = folder / speaker / "1"
    chapter.mkdir(parents=True, exist_ok=True)
    lines = [f"{speaker}-1-{number} {text}\n" for number, text in words.items()]
    (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return [
        write_flac(chapter / f"{speaker}-1-{number}.flac", noise(seconds, int(speaker + number))) for number in words
    ]


def write_corpus(root: Path) -> Path:
    """A sound corpus: 10 utterances of 2 speakers in each of `train`, `dev` and `test`."""
    for split, first in (("train", 10), ("dev", 20), ("test", 30)):
        for speaker in (first, first + 1):
            write_chapter(root / split, str(speaker), {f"{i:04d}": "OPEN THE DOOR" for i in range(5)})
    return root
