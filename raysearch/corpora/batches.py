"""Audio in RAM and batches of it. The one place that says what a batch is.

A batch of B cuts, padded with zeros to the longest, S samples at 16 kHz:

    audio_BS    float32 in [-1, 1)   row b holds samples_B[b] samples of cuts[b], then zeros; or its log-mel bins
                                     (B, T, M), where they were computed before
    samples_B   int64                samples of each cut, all above zero
    cuts        B lhotse cuts, in the order of the rows
    number      its place in the stream of one worker, from 0: what is random about it is seeded by it

A batch has at most `batch_s` seconds, padding included: B x S <= batch_s x 16,000. A cut that is longer than that makes
a batch of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.corpora.ahead import ahead, is_reader
from raysearch.corpora.audio import FULL_SCALE, decode
from raysearch.encoder.config import SAMPLE_RATE_HZ

KEPT_BYTES = 2 << 30
"""Decoded audio that a process keeps."""
_MOST_BUCKETS = 10
_BATCHES_PER_BUCKET = 3
_SHARDS_TOGETHER = 4
"""Archives whose cuts are shuffled together: so many are in memory at once."""


@dataclass(frozen=True)
class Batch:
    """Shapes: the module's docstring."""

    audio_BS: Tensor
    samples_B: Tensor
    cuts: list[MonoCut]
    number: int = field(default=0, kw_only=True)


def load_audio(cut: MonoCut) -> np.ndarray:
    """A cut's samples from disk, float32 in [-1, 1), mono."""
    return _to_float(_read(cut))


class Rows(Protocol):
    """Where the rows of a batch come from."""

    def audio(self, cut: MonoCut) -> np.ndarray:
        """A cut's samples (S), or its log-mel bins (T, M). Raises: UnreadableError"""


class AudioStore:
    """Decoded audio, kept in RAM as 16-bit samples until `limit_bytes` are used; the rest is read from disk each time.

    Whether a cut is kept does not change its samples.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES, read: Callable[[MonoCut], np.ndarray] | None = None) -> None:
        """`read` gives a cut's 16-bit samples where they lie in no file of their own; it may raise UnreadableError."""
        self._free_bytes = limit_bytes
        self._read_cut = read or _read
        self._kept: dict[tuple[str, float, float], np.ndarray] = {}

    def audio(self, cut: MonoCut) -> np.ndarray:
        """What `load_audio` gives."""
        key = (_source(cut), cut.start, cut.duration)
        audio_S = self._kept.get(key)
        if audio_S is None:
            audio_S = self._read_cut(cut)
            # What a reader kept would be kept once by each of them.
            if audio_S.nbytes <= self._free_bytes and not is_reader():
                self._free_bytes -= audio_S.nbytes
                self._kept[key] = audio_S
        return _to_float(audio_S)


class UnreadableError(Exception):
    """A recording that was found to be corrupt only when it was wanted: whoever makes a batch leaves it out."""


def shard(cut: MonoCut) -> str:
    """The archive in which a cut's audio lies, and which is read as a whole; empty for a file of its own."""
    source = cut.recording.sources[0]
    return str(source.source).rpartition("#")[0] if source.type == "shar" else ""


def evaluation_batches(cuts: Iterable[MonoCut], store: AudioStore, batch_s: float) -> Iterator[Batch]:
    """Every cut once, longest first, so that memory runs out at once or never; archives one after the other."""
    group: list[MonoCut] = []
    for cut in sorted(cuts, key=lambda cut: (shard(cut), -cut.num_samples, cut.id)):
        full = group and (len(group) + 1) * group[0].num_samples > batch_s * SAMPLE_RATE_HZ
        if full or (group and shard(cut) != shard(group[0])):
            yield from _batches(group, store)
            group = []
        group.append(cut)
    yield from _batches(group, store)


class TrainingBatches:
    """Shuffled batches of cuts of like lengths, without end; the same for the same cuts, seed and step.

    Cuts are sorted by length into buckets of equal total length. In every epoch each bucket is shuffled and split into
    groups of like size, and the groups of all buckets are shuffled. All epochs have the same number of groups, so that
    resuming computes which epoch it is in and reads nothing before it. Cuts in archives are taken a few archives at a
    time, in a new order in each epoch, so that each archive is read once an epoch.

    With several workers, each step's group is `world_size` times as large and is dealt out among them. Where it has
    fewer cuts than there are workers, some of its cuts are dealt twice: no worker may stand idle in a step.
    """

    def __init__(
        self,
        cuts: Iterable[MonoCut],
        store: Rows,
        batch_s: float,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        readers: int = 0,
    ) -> None:
        """`readers`: processes that make this worker's batches ahead of it; they change none."""
        ordered = sorted(((cut.num_samples, cut.id, cut) for cut in cuts), key=lambda row: row[:2])
        assert ordered, "no cuts to train on"
        self._cuts = [cut for _, _, cut in ordered]
        self.batch_s = batch_s
        self._store = store
        self._seed = seed
        self._rank, self._world_size, self._readers = rank, world_size, readers
        self._order: tuple[int, list[np.ndarray]] | None = None
        lengths = np.array([samples for samples, _, _ in ordered])
        limit = batch_s * SAMPLE_RATE_HZ
        self._shelves = [
            [(shelf[bucket], count) for bucket, count in _buckets(lengths[shelf], limit, world_size)]
            for shelf in _shelves(self._cuts)
        ]
        self.steps_per_epoch = sum(count for buckets in self._shelves for _, count in buckets)

    def from_step(self, step: int) -> Iterator[Batch]:
        """This worker's batches of the steps `step`, `step` + 1, ..."""
        return (batch for batch in ahead(self._batch, step, self._readers) if batch is not None)

    def heaviest(self) -> Batch | None:
        """At least as large, padding included, as this worker's share of any step: the longest cuts of one bucket. None
        if none of them can be read.
        """
        groups = [
            bucket[-_shares(_shares(len(bucket), count), self._world_size) :]
            for buckets in self._shelves
            for bucket, count in buckets
        ]
        largest = max(groups, key=lambda group: len(group) * self._cuts[group[-1]].num_samples)
        return next(_batches([self._cuts[index] for index in largest], self._store), None)

    def _batch(self, step: int) -> Batch | None:
        """None if none of its cuts can be read."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._epoch(epoch)
        cuts = [self._cuts[index] for index in self._share(self._order[1][place])]
        return next(_batches(cuts, self._store, step), None)

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._shelves)) if len(self._shelves) > 1 else [0]
        found = []
        for shelf in order:
            buckets = self._shelves[shelf]
            groups = [part for bucket, count in buckets for part in np.array_split(rng.permutation(bucket), count)]
            found += [groups[index] for index in rng.permutation(len(groups))]
        return found

    def _share(self, group: np.ndarray) -> np.ndarray:
        return group[self._rank % len(group) :: self._world_size]


def _shelves(cuts: Sequence[MonoCut]) -> list[np.ndarray]:
    """Indices of the cuts that are shuffled together."""
    shards = np.array([shard(cut) for cut in cuts])
    names = np.unique(shards)
    together = [names[first : first + _SHARDS_TOGETHER] for first in range(0, len(names), _SHARDS_TOGETHER)]
    return [np.flatnonzero(np.isin(shards, few)) for few in together]


def _shares(total: int, count: int) -> int:
    """The largest of `count` shares."""
    return -(-total // count)


def _buckets(lengths: np.ndarray, limit: float, world_size: int) -> list[tuple[np.ndarray, int]]:
    """Indices of each bucket's cuts, and into how many groups to split them. `lengths` ascend; `limit` in samples."""
    ends = np.cumsum(lengths)
    count = int(np.clip(ends[-1] / (limit * world_size * _BATCHES_PER_BUCKET), 1, _MOST_BUCKETS))
    # A cut belongs where its middle falls, so that the last one does not fall off the end.
    homes = ((ends - lengths / 2) * count / ends[-1]).astype(int)
    buckets = []
    for home in np.unique(homes):
        indices = np.flatnonzero(homes == home)
        most = max(1, int(limit / lengths[indices[-1]])) * world_size
        buckets.append((indices, _shares(len(indices), most)))
    return buckets


def _batches(cuts: list[MonoCut], store: Rows, number: int = 0) -> Iterator[Batch]:
    """One batch of those cuts that can be read, if there are any."""
    read = []
    for cut in cuts:
        with contextlib.suppress(UnreadableError):
            read.append((cut, store.audio(cut)))
    if not read:
        return
    longest = max(len(row) for _, row in read)
    # NumPy copies on this thread; torch would wake its pool for every row.
    audio_BS = np.zeros((len(read), longest, *read[0][1].shape[1:]), np.float32)
    for padded, (_, row) in zip(audio_BS, read, strict=True):
        padded[: len(row)] = row
    samples = [len(row) if row.ndim == 1 else cut.num_samples for cut, row in read]
    samples_B = torch.tensor(samples, dtype=torch.int64)
    yield Batch(torch.from_numpy(audio_BS), samples_B, [cut for cut, _ in read], number=number)


def _source(cut: MonoCut) -> str:
    source: str = cut.recording.sources[0].source
    return source


def _read(cut: MonoCut) -> np.ndarray:
    return decode(Path(_source(cut)), round(cut.start * SAMPLE_RATE_HZ), cut.num_samples)


def _to_float(audio_S: np.ndarray) -> np.ndarray:
    return audio_S.astype(np.float32) / np.float32(FULL_SCALE)
