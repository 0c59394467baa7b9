"""Hidden states of a teacher on all training cuts, kept on disk, so that a search asks the teacher once.

One folder holds one layer, so that trials which want different layers share those that they have in common. The states
are the teacher's own, at its own frame rate and not normalised: students of any rate thin them when they read them.
They are in fp16, which changes a number by at most 0.05 % of itself, or by 3e-8 if it is below 6e-5. The states of a
cut that holds larger numbers than fp16 has are divided by a power of two, which rounds nothing.

Shapes: L layers, B batch, U teacher frames, W teacher width, N frames of all cuts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.corpora.batches import Batch, evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.frames import frames
from raysearch.errors import WorkError
from raysearch.files.digest import document_digest
from raysearch.targets.store import FolderStore
from raysearch.training.monitoring.progress import counted

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder
    from raysearch.encoder.teacher import Teacher

_DOCUMENT, _STATES = "features.json", "states.fp16"
_BYTES = np.float16().nbytes
_MOST_EXPONENT = 15
"""Numbers below 2 to this power fit into fp16."""


@dataclass(frozen=True)
class FeatureKey:
    """Everything that decides the hidden states of a layer."""

    teacher: str
    """Hash of the teacher's weights."""
    layer: int
    """0 is the input of the first block, 1 its output."""
    corpus: str
    """Fingerprint of the corpus. Its training split is heard."""

    @property
    def digest(self) -> str:
        """The name of the layer's folder in the store, 16 hexadecimal digits."""
        return document_digest({**asdict(self), "kept": "hidden states in fp16"})


class KeptLayer:
    """The hidden states of one layer in a folder. They are read from disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder. Raises: WorkError if a file is missing or not what it should be."""
        self.folder = folder
        try:
            document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
            self.key, self.hop_samples = FeatureKey(**document["key"]), int(document["hop_samples"])
            self._spans: dict[str, tuple[int, int, int]] = document["spans"]
            last = max((end for _, end, _ in self._spans.values()), default=0)
            shape = (last, document["width"])
            self.states_NW = np.memmap(folder / _STATES, np.float16, "r", shape=shape)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as err:
            raise WorkError(f"features {folder} are unreadable ({err}); delete the folder, they are made anew") from err

    def span(self, cut: MonoCut) -> tuple[slice, float]:
        """The place of a cut's frames in `states_NW`, and the factor that they were divided by.

        Raises: WorkError if the cut could not be read when the teacher heard the others.
        """
        if cut.id not in self._spans:
            raise WorkError(f"{self.folder}: without cut {cut.id}, which could not be read then; delete the folder")
        start, end, power = self._spans[cut.id]
        return slice(start, end), 2.0**power

    def document(self) -> dict[str, Any]:
        """Digest, key, rate, cuts and bytes in one flat mapping, for JSON."""
        found = {"digest": self.key.digest, **asdict(self.key), "hop_samples": self.hop_samples}
        return {**found, "cuts": len(self._spans), "bytes": self.states_NW.nbytes}


class KeptFeatures:
    """The hidden states of several layers, for batches."""

    def __init__(self, layers: Sequence[KeptLayer]) -> None:
        self._layers = layers

    def batch(self, cuts: Sequence[MonoCut], longest: int) -> tuple[Tensor, Tensor]:
        """The states of cuts as they are kept, with zeros up to `longest` frames, and the factors to multiply them by.

        The states are (L, B, U, W) in fp16, the factors (L, B, 1, 1) in fp32.
        """
        width = self._layers[0].states_NW.shape[1]
        states_LBUW = np.zeros((len(self._layers), len(cuts), longest, width), np.float16)
        factors_LB = np.ones((len(self._layers), len(cuts)), np.float32)
        for place, layer in enumerate(self._layers):
            for row, cut in enumerate(cuts):
                where, factors_LB[place, row] = layer.span(cut)
                states_LBUW[place, row, : where.stop - where.start] = layer.states_NW[where]
        return torch.from_numpy(states_LBUW), torch.from_numpy(factors_LB)[:, :, None, None]


def features_bytes(teacher: EncoderConfig, samples: Iterable[int]) -> int:
    """Bytes on disk of one layer's states on cuts of so many samples."""
    return sum(frames(teacher, cut) for cut in samples) * teacher.width * _BYTES


def missing_layers(layers: Iterable[int], teacher: Teacher, corpus: Corpus, store: FolderStore) -> list[int]:
    """Those of the layers, numbered from 0, whose states are not in the store yet."""
    keys = (FeatureKey(teacher.key, layer, corpus.fingerprint) for layer in sorted(set(layers)))
    return [key.layer for key in keys if store.get(key.digest) is None]


def kept_features(
    layers: Sequence[int], teacher: Teacher, corpus: Corpus, store: FolderStore, device: torch.device, batch_s: float
) -> KeptFeatures:
    """The states of the layers, numbered from 0, from the store; the teacher is asked once for all that are missing.

    It runs on `device` in fp32, on batches of at most `batch_s` seconds, padding included.
    """
    keys = {key.digest: key for key in (FeatureKey(teacher.key, layer, corpus.fingerprint) for layer in layers)}

    def build(folders: Mapping[str, Path]) -> None:
        cuts = corpus.splits["train"]
        batches = evaluation_batches(cuts, corpus.audio, batch_s)
        wanted = {folder: keys[digest] for digest, folder in folders.items()}
        _build(wanted, teacher.encoder.to(device), batches, len(cuts))

    found = store.get_or_build_all(list(keys), build)
    opened = {keys[digest].layer: KeptLayer(folder) for digest, folder in found.items()}
    return KeptFeatures([opened[layer] for layer in layers])


def _build(folders: Mapping[Path, FeatureKey], encoder: Encoder, batches: Iterable[Batch], cuts: int) -> None:
    spans: dict[Path, dict[str, tuple[int, int, int]]] = {folder: {} for folder in folders}
    end = 0
    with ExitStack() as stack:
        # The files grow as they are written. A full disk is an error then, where a mapped file would end the process.
        files = {folder: stack.enter_context((folder / _STATES).open("wb")) for folder in folders}
        heard = _heard(encoder, [key.layer for key in folders.values()], batches)
        for cut, states_LUW in counted(heard, "teacher features", cuts):
            start, end = end, end + states_LUW.shape[1]
            for folder, states_UW in zip(folders, states_LUW, strict=True):
                power = _power(states_UW)
                spans[folder][cut] = start, end, power
                files[folder].write((states_UW / 2.0**power).astype(np.float16).tobytes())
    for folder, key in folders.items():
        rate = {"hop_samples": encoder.config.hop_samples, "width": encoder.config.width}
        document = {"key": asdict(key), **rate, "spans": spans[folder]}
        (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


@torch.inference_mode()
def _heard(encoder: Encoder, layers: list[int], batches: Iterable[Batch]) -> Iterator[tuple[str, np.ndarray]]:
    """The id of each cut, and its states in float32, (L, U, W)."""
    device = next(encoder.parameters()).device
    for batch in batches:
        encoded = encoder(batch.audio_BS.to(device), batch.samples_B.to(device))
        states_BLUW = torch.stack([encoded.hidden[layer] for layer in layers], dim=1).float().cpu().numpy()
        for cut, states_LUW, count in zip(batch.cuts, states_BLUW, encoded.frames_B.tolist(), strict=True):
            yield cut.id, states_LUW[:, :count]


def _power(states_UW: np.ndarray) -> int:
    """The power of two by which states are divided so that fp16 holds them. It is 0 for most teachers."""
    largest = float(np.abs(states_UW).max(initial=0.0))
    return max(0, math.frexp(largest)[1] - _MOST_EXPONENT)
