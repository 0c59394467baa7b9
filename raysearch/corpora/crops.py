"""Batches of equally long crops of cuts, with their speakers, and the same crops disturbed.

Shapes: B crops in this process, S samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.corpora.ahead import ahead
from raysearch.corpora.augmentation import Audio, Augmenter, Heard
from raysearch.corpora.batches import AudioStore, Batch
from raysearch.encoder.config import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Crops(Batch):
    """A batch of crops. All its rows are full: `samples_B` is S everywhere."""

    disturbed_BS: Tensor
    """The crops as an augmenter leaves them."""
    speakers_B: Tensor
    """Number of each row's class, int64: its speaker, or its speaker at another speed."""


class SpeakerCrops:
    """An endless stream of batches of crops.

    Every cut comes once, in a new order, before any comes again, and each time another crop of it is taken. A cut that
    is shorter than a crop is repeated, because padding with silence would tell cuts apart. Every crop draws its random
    numbers by its place in the batch of all processes together, so the number of processes changes nothing.
    """

    def __init__(
        self,
        cuts: Sequence[MonoCut],
        store: AudioStore,
        *,
        batch: int,
        crop_s: float,
        augmenter: Augmenter | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        readers: int = 0,
    ) -> None:
        """`batch` is the number of crops in all processes together, a multiple of `world_size`.

        `readers` is the number of processes that make this one's batches ahead of it.
        """
        assert batch % world_size == 0, f"{batch} crops among {world_size} processes"
        self._cuts = sorted(cuts, key=lambda cut: cut.id)
        self._store, self._augmenter, self._seed, self._readers = store, augmenter, seed, readers
        self.speakers = sorted({speaker_of(cut) for cut in self._cuts})
        self._numbers = {name: number for number, name in enumerate(self.speakers)}
        self.classes = len(self.speakers) * (augmenter.voices if augmenter else 1)
        """The number of classes to tell apart: the speakers, as often as there are speeds at which they are heard."""
        self._batch, self._samples = batch, round(crop_s * SAMPLE_RATE_HZ)
        share = batch // world_size
        self._rows = range(rank * share, (rank + 1) * share)
        self._order: tuple[int, np.ndarray] | None = None

    def from_step(self, step: int) -> Iterator[Crops]:
        """This process's batches from the one numbered `step` on."""
        return ahead(self._crops, step, self._readers)

    def _crops(self, step: int) -> Crops:
        cuts = [self._cuts[self._index(step * self._batch + row)] for row in self._rows]
        heard = [self._heard(cut, step, row) for cut, row in zip(cuts, self._rows, strict=True)]
        return Crops(
            torch.from_numpy(np.stack([one.clean_S for one in heard])),
            torch.full((len(cuts),), self._samples),
            cuts,
            torch.from_numpy(np.stack([one.disturbed_S for one in heard])),
            torch.tensor([self._class(cut, one.voice) for cut, one in zip(cuts, heard, strict=True)]),
            number=step,
        )

    def _heard(self, cut: MonoCut, step: int, row: int) -> Heard:
        # `row` counts over all processes, so a crop is the same whichever process makes it.
        rng = np.random.default_rng([self._seed, step, row])
        audio_S = crop(self._store.audio(cut), self._samples, rng)
        return self._augmenter(audio_S, rng, self._speech) if self._augmenter else Heard(audio_S, audio_S, 0)

    def _class(self, cut: MonoCut, voice: int) -> int:
        return self._numbers[speaker_of(cut)] + voice * len(self.speakers)

    def balance(self) -> Tensor:
        """A weight for each class that lets all speakers count the same, however many cuts they have.

        Over the cuts the weights have a mean of 1.
        """
        counts = Counter(map(speaker_of, self._cuts))
        weights = [len(self._cuts) / (len(self.speakers) * counts[name]) for name in self.speakers]
        return torch.tensor(weights).repeat(self.classes // len(self.speakers))

    def _index(self, place: int) -> int:
        epoch, within = divmod(place, len(self._cuts))
        # The order of the current epoch is kept, because all its batches ask for it.
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self._cuts))
        return int(self._order[1][within])

    def _speech(self, rng: np.random.Generator, samples: int) -> Audio:
        return crop(self._store.audio(self._cuts[rng.integers(len(self._cuts))]), samples, rng)


def crop(audio_S: Audio, samples: int, rng: np.random.Generator) -> Audio:
    """`samples` samples of a recording from a random place on. A shorter recording is repeated."""
    if len(audio_S) < samples:
        return np.resize(audio_S, samples)
    start = int(rng.integers(len(audio_S) - samples + 1))
    return audio_S[start : start + samples]


def speaker_of(cut: MonoCut) -> str:
    """The name of the speaker of a cut."""
    return str(cut.supervisions[0].speaker)
