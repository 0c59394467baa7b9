"""Log-mel bins of the training cuts, computed once, for students that read nothing else of the audio.

On a CPU they are what the student's front end computes from the same cut, alone or in a batch: bit for bit, or to
rounding where the processor multiplies a batch in another order than a cut alone.
Shapes: T frames of a cut, N frames of all cuts, M mel bins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore, UnreadableError
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank
from raysearch.encoder.frames import mel_frames
from raysearch.errors import WorkError
from raysearch.files.digest import content_digest
from raysearch.targets.store import FolderStore
from raysearch.training.monitoring.progress import counted

MOST_BYTES = 4 << 30
"""Limit in bytes on the bins of a corpus. More are not kept. 80 bins of 37 hours of audio take so much."""
_DOCUMENT, _MELS = "mels.json", "mels.npy"


class Mels:
    """The bins of training cuts in a folder. They are read from disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder of bins. Raises: WorkError if a file is missing or not what it should be."""
        try:
            self._spans: dict[str, list[int]] = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
            self._mels_NM = np.load(folder / _MELS, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as err:
            raise WorkError(
                f"mels {folder} are unreadable ({err}); delete the folder, they are computed again"
            ) from err

    def audio(self, cut: MonoCut) -> np.ndarray:
        """The bins of a cut, float32 (T, M), not normalised. They take the place of its audio in a batch.

        Raises: UnreadableError if the cut could not be read when bins were computed.
        """
        if cut.id not in self._spans:
            raise UnreadableError(f"{cut.id}: could not be read when its bins were computed")
        return self._mels_NM[slice(*self._spans[cut.id])]


def mels_of(corpus: Corpus, bins: int, store: FolderStore) -> Mels | None:
    """The bins of the training split, from the store if they are there. None if they are too many to keep."""
    cuts = corpus.splits["train"]
    frames = sum(mel_frames(cut.num_samples) for cut in cuts)
    if frames * bins * np.float32().nbytes > MOST_BYTES:
        return None
    digest = content_digest(f"train {corpus.fingerprint} {bins}")
    return Mels(store.get_or_build(digest, lambda folder: _build(folder, list(cuts), corpus.audio, bins)))


def _build(folder: Path, cuts: list[MonoCut], audio: AudioStore, bins: int) -> None:
    ends = list(accumulate(mel_frames(cut.num_samples) for cut in cuts))
    mels_NM = np.lib.format.open_memmap(folder / _MELS, "w+", np.float32, (ends[-1], bins))
    spans = {}
    computed = counted(_computed(cuts, audio, bins), "log-mel bins", len(cuts))
    for (cut, mels_TM), end in zip(computed, ends, strict=True):
        if mels_TM is not None:
            spans[cut.id] = [end - len(mels_TM), end]
            mels_NM[slice(*spans[cut.id])] = mels_TM
    mels_NM.flush()
    (folder / _DOCUMENT).write_text(json.dumps(spans), encoding="utf-8")


def _computed(cuts: Iterable[MonoCut], audio: AudioStore, bins: int) -> Iterator[tuple[MonoCut, np.ndarray | None]]:
    """Each cut with its bins, or with None if it cannot be read or is shorter than its manifest says."""
    filterbank = LogMelFilterbank(bins)
    for cut in cuts:
        try:
            audio_S = audio.audio(cut)
        except UnreadableError:
            audio_S = np.zeros(0, np.float32)
        # The array has room for the frames that the manifest promises, so a shorter cut has no place in it.
        whole = len(audio_S) == cut.num_samples
        yield cut, filterbank.log_mel(torch.from_numpy(audio_S)[None])[0].numpy() if whole else None
