"""Made-up speech for the checks: tones in noise, held in memory, with labels that are drawn.

Shapes: S samples, B batch, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lhotse import CutSet
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.reading import whole_cut
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.targets.label_set import LabelKey, LabelSet
from raysearch.targets.settings import TargetSettings

TONES_HZ = (200, 500, 1200, 3000)
TONE_SAMPLES = SAMPLE_RATE_HZ // 2
LABEL_HOP = 320
"""Samples from one label to the next, as at HuBERT's 50 Hz."""


def corpus(lengths_s: Sequence[float]) -> Corpus:
    """A corpus whose training cuts have these lengths. Each half second is a phone. Two speakers take turns."""
    cuts = CutSet.from_cuts(_cut(number, seconds) for number, seconds in enumerate(lengths_s))
    return Corpus("tones", dict.fromkeys(("train", "dev", "test"), cuts), audio=AudioStore(read=_tones))


def labels_of(corpus: Corpus, settings: TargetSettings) -> LabelSet:
    """Random labels of the training cuts."""
    rng, cuts = np.random.default_rng(0), list(corpus.splits["train"])
    ends = np.cumsum([cut.num_samples // LABEL_HOP for cut in cuts])
    spans = {cut.id: slice(first, end) for cut, first, end in zip(cuts, [0, *ends[:-1]], ends, strict=True)}
    key = LabelKey(settings.source, "t", 1, settings.clusters, settings.seed, settings.fit_frames, "tones")
    return LabelSet(key, LABEL_HOP, {}, rng.integers(settings.clusters, size=ends[-1]).astype(np.int16), spans)


def _cut(number: int, seconds: float) -> MonoCut:
    samples = round(seconds * SAMPLE_RATE_HZ)
    phones = [f"T{tone}" for tone in _melody(f"{number:04}", samples)]
    # There is no such file: the corpus makes its audio itself.
    return whole_cut(
        f"{number:04}", Path(f"{number:04}.wav"), samples, f"s{number % 2}", " ".join(phones), None, phones
    )


def _melody(name: str, samples: int) -> list[int]:
    count = -(-samples // TONE_SAMPLES)
    return np.random.default_rng(int(name)).integers(len(TONES_HZ), size=count).tolist()


def _tones(cut: MonoCut) -> np.ndarray:
    """The samples of a cut in 16 bits."""
    time_S = np.arange(TONE_SAMPLES) / SAMPLE_RATE_HZ
    tones = [np.sin(2 * np.pi * TONES_HZ[tone] * time_S) for tone in _melody(cut.id, cut.num_samples)]
    audio_S = 0.3 * np.concatenate(tones)[: cut.num_samples]
    noise_S = 0.01 * np.random.default_rng(int(cut.id)).standard_normal(cut.num_samples)
    return ((audio_S + noise_S) * 32_000).astype(np.int16)
