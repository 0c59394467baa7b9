"""Makes synthetic speech in LibriSpeech's layout: short sentences over 60 words, in up to 48 voices of espeak-ng.

It needs no download, so it is for trying things out and for tests. All voices come from one synthesiser, so errors on
them say nothing about people.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from raysearch.corpora.settings import SyntheticSettings
from raysearch.corpora.synthetic.espeak import Speech, Voice, speak
from raysearch.corpora.synthetic.vocabulary import draw_sentence, phones
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError
from raysearch.files.whole import first_folder

MARKER = "synthetic.json"

# Only variants that sound like people: no robots, no whispers, no creaking voices.
_FEMALE = "f1 f2 f3 f4 f5 Alicia Andrea Annie anika aunty belinda grandma linda shelby steph steph2 steph3"
_MALE = (
    "m1 m2 m3 m4 m5 m6 m7 m8 Alex Andy Denis Gene Hugo Lee Mario Michael Mike Reed adam antonio benjamin boris david "
    "ed edward gustave john max michel norbert paul"
)


@dataclass(frozen=True)
class _Speaker:
    split: str
    number: int
    sex: str
    voice: Voice
    sentences: list[str]
    seed: int
    """Seed of levels, pauses and noise."""

    def utterance(self, index: int) -> str:
        return f"{self.number}-1-{index:04d}"


def synthesise(settings: SyntheticSettings, folder: Path) -> None:
    """Writes `<split>/<speaker>/1/*.flac`, transcripts, `SPEAKERS.TXT` and `phones/` into a new `folder`.

    The folder appears when all is written. If it already holds the same corpus, nothing is done.

    Raises: InputError if the folder holds anything else, espeak-ng is not installed, or too many voices are wanted.
    """
    recipe = settings.model_dump(mode="json", include={"speakers", "utterances", "words", "seed"})
    if not folder.exists():
        with first_folder(folder) as part:
            _write_all(list(_speakers(settings)), part)
            (part / MARKER).write_text(json.dumps(recipe))
    _refuse_other(folder, recipe)


def _refuse_other(folder: Path, recipe: Mapping[str, object]) -> None:
    marker = folder / MARKER
    if not marker.is_file() or json.loads(marker.read_text()) != recipe:
        raise InputError(f"corpus: {folder}: holds something else; expected a new folder or the same synthetic corpus")


def _speakers(settings: SyntheticSettings) -> Iterator[_Speaker]:
    rng = np.random.default_rng(settings.seed)
    voices = _voices(rng)
    wanted = sum(settings.speakers.model_dump().values())
    if wanted > len(voices):
        raise InputError(f"corpus.speakers: {wanted} in all; expected at most {len(voices)}, one a voice")
    number = 1000
    for split, count in settings.speakers.model_dump().items():
        for share in np.array_split(np.arange(getattr(settings.utterances, split)), count):
            sex, variant = voices[number - 1000]
            voice = Voice(f"en-us+{variant}", pitch=int(rng.integers(35, 66)), rate=int(rng.integers(140, 191)))
            sentences = [draw_sentence(settings.words, rng) for _ in share]
            yield _Speaker(split, number, sex, voice, sentences, seed=int(rng.integers(2**32)))
            number += 1


def _voices(rng: np.random.Generator) -> list[tuple[str, str]]:
    """The sex and the variant of all voices: women and men in turn, then the remaining men."""
    women = [("F", str(variant)) for variant in rng.permutation(_FEMALE.split())]
    men = [("M", str(variant)) for variant in rng.permutation(_MALE.split())]
    return [voice for pair in zip(women, men, strict=False) for voice in pair] + men[len(women) :]


def _write_all(speakers: list[_Speaker], folder: Path) -> None:
    # Each thread waits for a process of espeak-ng, so threads suffice.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        spoken = list(pool.map(lambda speaker: _write_speaker(speaker, folder), speakers))
    (folder / "phones").mkdir()
    for speaker, phonemes in zip(speakers, spoken, strict=True):
        with (folder / "phones" / f"{speaker.split}.txt").open("a") as file:
            for index, sentence in enumerate(speaker.sentences):
                spelt = " ".join(phones(word, phonemes[word]) for word in sentence.lower().split())
                file.write(f"{speaker.utterance(index)} {spelt}\n")
    rows = [f"{speaker.number} | {speaker.sex} | {speaker.split} | {speaker.voice.name}\n" for speaker in speakers]
    (folder / "SPEAKERS.TXT").write_text(";ID | SEX | SUBSET | NAME\n" + "".join(rows))


def _write_speaker(speaker: _Speaker, folder: Path) -> Mapping[str, list[str]]:
    chapter = folder / speaker.split / str(speaker.number) / "1"
    chapter.mkdir(parents=True)
    # Sentences go in lower case, because espeak-ng spells out some words in capitals.
    speech = speak(speaker.voice, [sentence.lower() for sentence in speaker.sentences])
    rng = np.random.default_rng(speaker.seed)
    lines = []
    for index, sentence in enumerate(speaker.sentences):
        audio_S = _record(speech, index, rng)
        soundfile.write(chapter / f"{speaker.utterance(index)}.flac", audio_S, SAMPLE_RATE_HZ, subtype="PCM_16")
        lines.append(f"{speaker.utterance(index)} {sentence}\n")
    (chapter / f"{speaker.number}-1.trans.txt").write_text("".join(lines))
    return speech.phonemes


def _record(speech: Speech, index: int, rng: np.random.Generator) -> np.ndarray:
    """Speech at 16 kHz as if it had been recorded, with a level of its own, silence around it and a noise floor."""
    gcd = np.gcd(SAMPLE_RATE_HZ, speech.rate_hz)
    raw_S = speech.utterances[index].astype(np.float64)
    audio_S = resample_poly(raw_S, SAMPLE_RATE_HZ // gcd, speech.rate_hz // gcd)
    level = 10 ** (rng.uniform(-28, -22) / 20)
    # The level is an RMS of -28 to -22 dB, but peaks stay below full scale.
    audio_S *= min(level / np.sqrt(np.mean(audio_S**2)), 0.9 / np.abs(audio_S).max())
    before, after = rng.integers(SAMPLE_RATE_HZ // 10, SAMPLE_RATE_HZ // 3, size=2)
    audio_S = np.pad(audio_S, (before, after))
    return audio_S + rng.normal(0, 10 ** (rng.uniform(-65, -50) / 20), len(audio_S))
