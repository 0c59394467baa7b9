"""Features to cluster: hidden states of a teacher, or MFCCs. They come cut by cut, and are never all in memory.

Shapes: B batch, S samples, T frames, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.encoder.imports.torchaudio_library import load_torchaudio
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.corpora.batches import Batch
    from raysearch.encoder.encoder import Encoder

Features = Iterator[tuple[str, np.ndarray]]
"""A stream of pairs: the id of a cut, and its features in float32 (T, D)."""

MFCC_HOP_SAMPLES = 160
_MFCC_WINDOW_SAMPLES = 400


def resolve_layer(layer: int, depth: int) -> int:
    """The block, counted from 1, whose output `layer` means. Negative layers count from the last block, which is -1.

    Raises: InputError if there is no such block.
    """
    if not 1 <= abs(layer) <= depth:
        raise InputError(f"targets.layer: {layer}; expected 1 to {depth}, or -1 for the teacher's last block")
    return layer if layer > 0 else depth + 1 + layer


@torch.inference_mode()
def teacher_features(encoder: Encoder, layer: int, batches: Iterable[Batch]) -> Features:
    """The outputs of block `layer` for each cut, at the encoder's own rate and without padding.

    Layer 1 is the first block, and -1 is the last.

    Raises: InputError if the encoder has no such block.
    """
    block = resolve_layer(layer, encoder.config.depth)
    device = next(encoder.parameters()).device
    for batch in batches:
        encoded = encoder(batch.audio_BS.to(device), batch.samples_B.to(device))
        hidden_BTD = encoded.hidden[block].float().cpu().numpy()
        for cut, feats_TD, frames in zip(batch.cuts, hidden_BTD, encoded.frames_B.tolist(), strict=True):
            yield cut.id, feats_TD[:frames]


def mfcc_features(batches: Iterable[Batch]) -> Features:
    """Kaldi's 13 MFCCs without energy, with their deltas and delta-deltas, at 100 Hz: D = 39.

    Raises: InputError if a cut is shorter than one window, or if torchaudio does not load.
    Source: HuBERT (Hsu et al., 2021), where these are the targets of the first iteration.
    """
    for batch in batches:
        for cut, audio_S, samples in zip(batch.cuts, batch.audio_BS, batch.samples_B.tolist(), strict=True):
            if samples < _MFCC_WINDOW_SAMPLES:
                raise InputError(f"cut {cut.id}: {samples} samples; expected at least {_MFCC_WINDOW_SAMPLES}")
            yield cut.id, _mfcc_with_deltas(audio_S[:samples])


def _mfcc_with_deltas(audio_S: Tensor) -> np.ndarray:
    mfcc, compute_deltas = load_torchaudio("compliance.kaldi").mfcc, load_torchaudio("functional").compute_deltas
    cepstra_TD = mfcc(audio_S[None].float(), sample_frequency=SAMPLE_RATE_HZ, num_ceps=13, use_energy=False)
    deltas_DT = compute_deltas(cepstra_TD.T)
    stacked_DT = torch.cat([cepstra_TD.T, deltas_DT, compute_deltas(deltas_DT)])
    return stacked_DT.T.contiguous().numpy()
