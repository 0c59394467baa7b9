"""Hidden states of a teacher on all training cuts, kept on disk, so that a search asks the teacher once.

One folder holds one layer, so that trials which want different layers share those that they have in common. States lie
on the student's frames, or on the teacher's where these are fewer, and are not normalised. They are in fp16, which
changes a number by at most 0.05 % of itself, or by 3e-8 if it is below 6e-5. The states of a cut that holds larger
numbers than fp16 has are divided by a power of two, which rounds nothing.

Shapes: L layers, B batch, U kept frames, W teacher width, N frames of all cuts.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.corpora.batches import Batch, Rows, UnreadableError, evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.frames import frames
from raysearch.targets.align import align_frames, frames_covered
from raysearch.targets.kept_layer import DOCUMENT, FeatureKey, Grid, KeptLayer, Span
from raysearch.targets.store import STATES_NAME, FolderStore
from raysearch.training.monitoring.progress import counted

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder
    from raysearch.encoder.teacher import Teacher

_BYTES = np.float16().nbytes
_MOST_EXPONENT = 15
"""Numbers below 2 to this power fit into fp16."""


class States(NamedTuple):
    """The hidden states of a batch, as they are kept."""

    states_LBUW: Tensor
    """In fp16. After its own frames each row repeats the last one."""
    factors_LB11: Tensor
    """What the states must be multiplied by, in fp32."""


class KeptFeatures:
    """The hidden states of several layers, for batches."""

    def __init__(self, layers: Sequence[KeptLayer], grid: Grid) -> None:
        """`grid` says where the frames of all these layers lie."""
        self.grid = grid
        self._layers = layers

    def rows(self, rows: Rows) -> Rows:
        """The same rows. Cuts that could not be read when the teacher heard the others count as unreadable."""
        return _Heard(rows, self._layers)

    def of(self, batch: Batch) -> States:
        """The states of a batch's cuts, read from disk. Raises: WorkError if they are damaged."""
        found = [[layer.states(cut) for cut in batch.cuts] for layer in self._layers]
        longest, width = max(states.shape for row in found for states, _ in row)
        states_LBUW = np.zeros((len(found), len(batch.cuts), longest, width), np.float16)
        for into_BUW, of_layer in zip(states_LBUW, found, strict=True):
            for into_UW, (states_UW, _) in zip(into_BUW, of_layer, strict=True):
                into_UW[: len(states_UW)] = states_UW
                if len(states_UW):
                    into_UW[len(states_UW) :] = states_UW[-1]
        factors_LB = torch.tensor([[factor for _, factor in of_layer] for of_layer in found])
        return States(torch.from_numpy(states_LBUW), factors_LB[:, :, None, None])


class _Heard:
    """Rows of cuts whose states are kept."""

    def __init__(self, rows: Rows, layers: Sequence[KeptLayer]) -> None:
        self._rows, self._layers = rows, layers

    def audio(self, cut: MonoCut) -> np.ndarray:
        if any(cut not in layer for layer in self._layers):
            raise UnreadableError(f"{cut.id}: could not be read when the teacher heard the others")
        return self._rows.audio(cut)


def kept_grid(teacher: EncoderConfig, student: EncoderConfig) -> Grid:
    """The frames that are kept for students of this kind: theirs, or the teacher's unless these are more."""
    slower = max(teacher, student, key=lambda config: config.hop_samples)
    return Grid(slower.hop_samples, slower.first_sample)


def features_bytes(teacher: EncoderConfig, grid: Grid, samples: Iterable[int]) -> int:
    """Bytes on disk of one layer's states on cuts of so many samples."""
    return sum(_kept_frames(teacher, grid, frames(teacher, cut)) for cut in samples) * teacher.width * _BYTES


def missing_layers(layers: Iterable[int], grid: Grid, teacher: Teacher, corpus: Corpus, store: FolderStore) -> int:
    """How many of the layers, numbered from 0, are not in the store yet."""
    return sum(store.get(key.digest) is None for key in _keys(layers, grid, teacher, corpus))


def kept_features(
    layers: Sequence[int],
    grid: Grid,
    teacher: Teacher,
    corpus: Corpus,
    store: FolderStore,
    device: torch.device,
    batch_s: float,
) -> KeptFeatures:
    """The states of the layers, numbered from 0, from the store; the teacher is asked once for all that are missing.

    It runs on `device` in fp32, on batches of at most `batch_s` seconds, padding included.
    """
    keys = {key.digest: key for key in _keys(layers, grid, teacher, corpus)}

    def build(folders: Mapping[str, Path]) -> None:
        cuts = corpus.splits["train"]
        batches = evaluation_batches(cuts, corpus.audio, batch_s)
        wanted = {folder: keys[digest] for digest, folder in folders.items()}
        _build(wanted, grid, teacher.encoder.to(device), batches, len(cuts))

    found = store.get_or_build_all(list(keys), build)
    opened = {keys[digest].layer: KeptLayer(folder) for digest, folder in found.items()}
    return KeptFeatures([opened[layer] for layer in layers], grid)


def _keys(layers: Iterable[int], grid: Grid, teacher: Teacher, corpus: Corpus) -> list[FeatureKey]:
    return [FeatureKey(teacher.key, layer, corpus.fingerprint, *grid) for layer in sorted(set(layers))]


def _build(
    folders: Mapping[Path, FeatureKey], grid: Grid, encoder: Encoder, batches: Iterable[Batch], cuts: int
) -> None:
    spans: dict[Path, dict[str, Span]] = {folder: {} for folder in folders}
    end = 0
    with ExitStack() as stack:
        # The files grow as they are written. A full disk is an error then, where a mapped file would end the process.
        files = {folder: stack.enter_context((folder / STATES_NAME).open("wb")) for folder in folders}
        heard = _heard(encoder, grid, [key.layer for key in folders.values()], batches)
        for cut, states_LUW in counted(heard, "teacher features", cuts):
            start, end = end, end + states_LUW.shape[1]
            for folder, states_UW in zip(folders, states_LUW, strict=True):
                exponent = _exponent(states_UW)
                content = (states_UW / 2.0**exponent).astype(np.float16).tobytes()
                files[folder].write(content)
                spans[folder][cut] = Span(start, end, exponent, zlib.crc32(content))
    for folder, key in folders.items():
        document = {"key": asdict(key), "width": encoder.config.width, "spans": spans[folder]}
        (folder / DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


@torch.inference_mode()
def _heard(
    encoder: Encoder, grid: Grid, layers: list[int], batches: Iterable[Batch]
) -> Iterator[tuple[str, np.ndarray]]:
    """The id of each cut, and its states on the frames that are kept, in float32 (L, U, W)."""
    config, device = encoder.config, next(encoder.parameters()).device
    for batch in batches:
        encoded = encoder(batch.audio_BS.to(device), batch.samples_B.to(device))
        states_BULW = torch.stack([encoded.hidden[layer] for layer in layers], dim=2).float().cpu().numpy()
        for cut, states_ULW, count in zip(batch.cuts, states_BULW, encoded.frames_B.tolist(), strict=True):
            yield cut.id, _on_grid(states_ULW[:count], config, grid).swapaxes(0, 1)


def _on_grid(states_ULW: np.ndarray, teacher: EncoderConfig, grid: Grid) -> np.ndarray:
    """The frames that are kept of a teacher's states. A cut too short for a frame has none."""
    kept, later = _kept_frames(teacher, grid, len(states_ULW)), grid.first_sample - teacher.first_sample
    return align_frames(states_ULW, teacher.hop_samples, grid.hop_samples, kept, later) if kept else states_ULW


def _kept_frames(teacher: EncoderConfig, grid: Grid, count: int) -> int:
    """How many frames are kept of `count` frames of the teacher."""
    later = grid.first_sample - teacher.first_sample
    # A student's last frame may lie behind the last one of Whisper, which stands for it.
    return frames_covered(count, teacher.hop_samples, grid.hop_samples, later) + bool(count and later)


def _exponent(states_UW: np.ndarray) -> int:
    """The power of two by which states are divided so that fp16 holds them. It is 0 for most teachers."""
    largest = float(np.abs(states_UW).max(initial=0.0))
    return max(0, math.frexp(largest)[1] - _MOST_EXPONENT)
