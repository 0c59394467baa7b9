"""Audio in memory, and batches of it. This is the one place that says what a batch is.

A batch of B cuts, padded with zeros to the longest, S samples at 16 kHz:

    audio_BS    float32 in [-1, 1)   row b holds samples_B[b] samples of cuts[b], then zeros. Where log-mel bins were
                                     computed before, it holds these in place of samples: (B, T, M)
    samples_B   int64                samples of each cut, all above zero
    cuts        B lhotse cuts, in the order of the rows
    beside      what else belongs to these cuts and was read together with them, such as a teacher's hidden states
    number      place of the batch in the stream of one worker, from 0. It seeds whatever is random about the batch

A batch has at most `batch_s` seconds, padding included: B x S <= batch_s x 16,000. A cut that is longer than that is a
batch of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.corpora.ahead import ahead, is_reader
from raysearch.corpora.audio import FULL_SCALE, decode
from raysearch.encoder.config import SAMPLE_RATE_HZ

KEPT_BYTES = 2 << 30
"""Bytes of decoded audio that a process keeps in memory."""
# More buckets mean less padding, but fewer cuts in each to shuffle.
_MOST_BUCKETS = 10
_BATCHES_PER_BUCKET = 3
_SHARDS_TOGETHER = 4
"""Number of archives whose cuts are shuffled together. So many are in memory at once."""


@dataclass(frozen=True)
class Batch:
    """A batch of cuts. The module's docstring says what its fields hold."""

    audio_BS: Tensor
    samples_B: Tensor
    cuts: list[MonoCut]
    number: int = field(default=0, kw_only=True)
    beside: Any = field(default=None, kw_only=True)


def load_audio(cut: MonoCut) -> np.ndarray:
    """The samples of a cut from disk: mono, float32 in [-1, 1)."""
    return _to_float(_read(cut))


class Rows(Protocol):
    """A source of the rows of a batch."""

    def audio(self, cut: MonoCut) -> np.ndarray:
        """A cut's samples (S), or its log-mel bins (T, M). Raises: UnreadableError if it has none."""


class AudioStore:
    """Decoded audio of cuts, kept in memory as 16-bit samples.

    Once `limit_bytes` are used, further cuts are read from disk each time. Whether a cut is kept does not change its
    samples.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES, read: Callable[[MonoCut], np.ndarray] | None = None) -> None:
        """An empty store. `read` gives a cut's 16-bit samples, for corpora whose recordings are not files of their own.

        It may raise UnreadableError.
        """
        self._free_bytes = limit_bytes
        self._read_cut = read or _read
        self._kept: dict[tuple[str, float, float], np.ndarray] = {}

    def audio(self, cut: MonoCut) -> np.ndarray:
        """The samples of a cut, the same as `load_audio` gives. Raises: what `read` raises."""
        key = (_source(cut), cut.start, cut.duration)
        audio_S = self._kept.get(key)
        if audio_S is None:
            audio_S = self._read_cut(cut)
            # Readers are processes of their own: each would keep a copy.
            if audio_S.nbytes <= self._free_bytes and not is_reader():
                self._free_bytes -= audio_S.nbytes
                self._kept[key] = audio_S
        return _to_float(audio_S)


class UnreadableError(Exception):
    """A recording was found to be corrupt only when it was wanted. Whoever makes a batch leaves it out."""


def shard(cut: MonoCut) -> str:
    """The archive that holds a cut's audio and is read as a whole. It is empty if the audio is a file of its own."""
    source = cut.recording.sources[0]
    return str(source.source).rpartition("#")[0] if source.type == "shar" else ""


def evaluation_batches(cuts: Iterable[MonoCut], store: AudioStore, batch_s: float) -> Iterator[Batch]:
    """Batches of every cut once, archive by archive.

    In each archive the longest cuts come first, so that memory runs out at once or never.
    """
    group: list[MonoCut] = []
    for cut in in_evaluation_order(cuts):
        full = group and (len(group) + 1) * group[0].num_samples > batch_s * SAMPLE_RATE_HZ
        if full or (group and shard(cut) != shard(group[0])):
            yield from _batches(group, store)
            group = []
        group.append(cut)
    yield from _batches(group, store)


def in_evaluation_order(cuts: Iterable[MonoCut]) -> list[MonoCut]:
    """The cuts archive by archive, and in each the longest first."""
    return sorted(cuts, key=lambda cut: (shard(cut), -cut.num_samples, cut.id))


def nothing_beside(batch: Batch) -> None:
    """Nothing: a batch is all that a method needs."""


class TrainingBatches:
    """An endless stream of shuffled batches of cuts of similar lengths, the same for the same cuts, seed and step.

    Cuts are sorted by length into buckets of equal total length. In every epoch each bucket is shuffled and split into
    groups of nearly equal size, and the groups of all buckets are shuffled. All epochs have the same number of groups,
    so a run that resumes can compute which epoch it is in and reads nothing before it. Cuts in archives are taken a few
    archives at a time, in a new order in each epoch, so that each archive is read once in an epoch.

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
        beside: Callable[[Batch], Any] = nothing_beside,
    ) -> None:
        """`readers` is the number of processes that make this worker's batches ahead of it. It does not change them.

        `beside` gives what else belongs to a batch. Readers call it, so that what it reads is read ahead, too.
        """
        ordered = sorted(((cut.num_samples, cut.id, cut) for cut in cuts), key=lambda row: row[:2])
        assert ordered, "no cuts to train on"
        self._cuts = [cut for _, _, cut in ordered]
        self.batch_s = batch_s
        self._store = store
        self._seed = seed
        self._rank, self._world_size, self._readers = rank, world_size, readers
        self._beside = beside
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
        """A batch at least as large, padding included, as this worker's share of any step.

        It holds the longest cuts of one bucket. None if none of them can be read.
        """
        groups = [
            bucket[-_shares(_shares(len(bucket), count), self._world_size) :]
            for buckets in self._shelves
            for bucket, count in buckets
        ]
        largest = max(groups, key=lambda group: len(group) * self._cuts[group[-1]].num_samples)
        return self._read([self._cuts[index] for index in largest])

    def _batch(self, step: int) -> Batch | None:
        """This worker's batch of a step. None if none of its cuts can be read."""
        epoch, place = divmod(step, self.steps_per_epoch)
        # The order of the current epoch is kept, because all its steps ask for it.
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._epoch(epoch)
        return self._read([self._cuts[index] for index in self._share(self._order[1][place])], step)

    def _read(self, cuts: list[MonoCut], number: int = 0) -> Batch | None:
        batch = next(_batches(cuts, self._store, number), None)
        return batch and replace(batch, beside=self._beside(batch))

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
        # A group with fewer cuts than workers is dealt out again from its first cut.
        return group[self._rank % len(group) :: self._world_size]


def _shelves(cuts: Sequence[MonoCut]) -> list[np.ndarray]:
    """Indices of the cuts that are shuffled together: those of a few archives, or all without archives."""
    shards = np.array([shard(cut) for cut in cuts])
    names = np.unique(shards)
    together = [names[first : first + _SHARDS_TOGETHER] for first in range(0, len(names), _SHARDS_TOGETHER)]
    return [np.flatnonzero(np.isin(shards, few)) for few in together]


def _shares(total: int, count: int) -> int:
    """The size of the largest share if `total` things are dealt out in `count` shares."""
    return -(-total // count)


def _buckets(lengths: np.ndarray, limit: float, world_size: int) -> list[tuple[np.ndarray, int]]:
    """The indices of each bucket's cuts, and into how many groups to split them.

    `lengths` are in ascending order. `limit` is the size of a batch in samples.
    """
    ends = np.cumsum(lengths)
    count = int(np.clip(ends[-1] / (limit * world_size * _BATCHES_PER_BUCKET), 1, _MOST_BUCKETS))
    # A cut belongs to the bucket in which its middle lies. By its end, the last cut would fall off the last bucket.
    homes = ((ends - lengths / 2) * count / ends[-1]).astype(int)
    buckets = []
    for home in np.unique(homes):
        indices = np.flatnonzero(homes == home)
        most = max(1, int(limit / lengths[indices[-1]])) * world_size
        buckets.append((indices, _shares(len(indices), most)))
    return buckets


def _batches(cuts: list[MonoCut], store: Rows, number: int = 0) -> Iterator[Batch]:
    """One batch of the cuts that can be read, or none if there are no such cuts."""
    read = []
    for cut in cuts:
        with contextlib.suppress(UnreadableError):
            read.append((cut, store.audio(cut)))
    if not read:
        return
    longest = max(len(row) for _, row in read)
    # NumPy copies on this thread, while torch would wake its pool of threads for every row.
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
