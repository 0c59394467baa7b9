"""Figures of a label set.

Only the probe tells good sets from useless ones. Useless sets, too, have a high perplexity and no dead clusters.

Shapes: T frames, N frames of all cuts, B cuts, D features, K clusters, P phones and the blank, L phones of a cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jiwer
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

_CHUNK_FRAMES = 16_384
_BLANK = 0
_STEPS = 150
_BATCH_CUTS = 64
_LR = 0.1
_BLANK_START = -2.0


def inertia(frames_ND: np.ndarray, centres_KD: np.ndarray, labels_N: np.ndarray) -> float:
    """The mean squared distance of a frame to its centre."""
    starts = range(0, len(frames_ND), _CHUNK_FRAMES)
    chunks = [slice(start, start + _CHUNK_FRAMES) for start in starts]
    total = sum(np.square(frames_ND[chunk] - centres_KD[labels_N[chunk]]).sum(dtype=np.float64) for chunk in chunks)
    return float(total / len(frames_ND))


def usage(labels_N: np.ndarray, clusters: int) -> dict[str, float]:
    """How the clusters are used.

    `dead_clusters` is the number of clusters without a frame. `perplexity` is the number of equally used clusters that
    would have the same entropy.
    """
    counts_K = np.bincount(labels_N, minlength=clusters)
    perplexity = np.exp(_entropy(counts_K / counts_K.sum()))
    return {"dead_clusters": float((counts_K == 0).sum()), "perplexity": float(perplexity)}


def phone_information(phones_N: np.ndarray, labels_N: np.ndarray) -> float:
    """The share of the phones' entropy that the labels explain, from 0 to 1 (phone-normalised mutual information).

    Both arguments are ids of the same frames.
    Raises: ValueError if there is only one phone, whose entropy is zero.
    Source: HuBERT (Hsu et al., 2021), which judges its clusters in this way.
    """
    joint_PK = np.zeros((phones_N.max() + 1, labels_N.max() + 1))
    np.add.at(joint_PK, (phones_N, labels_N), 1 / len(phones_N))
    entropy = _entropy(joint_PK.sum(axis=1))
    if entropy == 0:
        raise ValueError("phone_information: one phone only; expected at least two")
    return float((entropy + _entropy(joint_PK.sum(axis=0)) - _entropy(joint_PK)) / entropy)


def _entropy(share: np.ndarray) -> float:
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def probe_per(
    labels: Mapping[str, np.ndarray],
    clusters: int,
    train: Mapping[str, Sequence[str]],
    dev: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> float:
    """The phone error rate on dev, in percent, of a linear CTC head that sees nothing but the label of each frame.

    `labels` gives the labels (T) of each cut by its id, at 50 Hz or less. `train` and `dev` give the phones of the cuts
    to learn from and to judge on.
    """
    phones = sorted({phone for cut_phones in (*train.values(), *dev.values()) for phone in cut_phones})
    ids = {phone: index for index, phone in enumerate(phones, start=_BLANK + 1)}
    data = [(_tensor(labels[cut]), torch.tensor([ids[phone] for phone in train[cut]])) for cut in sorted(train)]
    head = _fit_head(data, clusters, len(phones) + 1, torch.Generator().manual_seed(seed))
    references = [" ".join(dev[cut]) for cut in sorted(dev)]
    guesses = [" ".join(phones[z - 1] for z in _greedy(head, _tensor(labels[cut]))) for cut in sorted(dev)]
    return 100 * jiwer.wer(references, guesses)


def _tensor(labels_T: np.ndarray) -> Tensor:
    return torch.from_numpy(labels_T.astype(np.int64))


def _fit_head(data: list[tuple[Tensor, Tensor]], clusters: int, outputs: int, generator: torch.Generator) -> Tensor:
    """The trained head: logits (K, P) with one row for each label. A linear layer on one-hot labels is nothing else."""
    head_KP = torch.zeros(clusters, outputs)
    # If all logits start equal, CTC learns to give blanks only, even on perfect labels, because each phone has few of a
    # cut's frames. So the blank starts lower.
    head_KP[:, _BLANK] = _BLANK_START
    head_KP.requires_grad_()
    optimiser = torch.optim.Adam([head_KP], lr=_LR)
    for _ in range(_STEPS):
        picked = torch.randperm(len(data), generator=generator)[:_BATCH_CUTS].tolist()
        labels_B, phones_B = zip(*(data[index] for index in picked), strict=True)
        labels_TB = nn.utils.rnn.pad_sequence(list(labels_B))
        loss = ctc_loss(
            head_KP.log_softmax(-1)[labels_TB],
            torch.cat(phones_B),
            torch.tensor([len(labels_T) for labels_T in labels_B]),
            torch.tensor([len(phones_L) for phones_L in phones_B]),
            blank=_BLANK,
            zero_infinity=True,
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head_KP.detach()


def _greedy(head_KP: Tensor, labels_T: Tensor) -> list[int]:
    best = torch.unique_consecutive(head_KP.argmax(-1)[labels_T])
    return best[best != _BLANK].tolist()
