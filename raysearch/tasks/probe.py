"""Probing: heads are trained on the hidden states of a frozen encoder, one head for each learning rate.

Source: SUPERB (Yang et al., Interspeech 2021), with linear heads and a few hundred updates where nothing else is asked
for. The sweep over learning rates stays, because with one rate encoders would be ranked by how well that rate suits
them.
Shapes: L layers, T frames, N frames of several cuts end to end, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import nn

from raysearch.corpora.batches import AudioStore
from raysearch.encoder.encoder import Encoder
from raysearch.tasks.layers import FrozenLayers
from raysearch.tasks.learner import Learner
from raysearch.tasks.optimiser import Optimiser
from raysearch.tasks.settings import HeadSettings
from raysearch.tasks.superb import clip_of
from raysearch.training.process import own_share


@dataclass(frozen=True)
class Trained:
    """An encoder with the heads that were trained on it."""

    encoder: Encoder
    heads: dict[float, nn.Module]
    """The heads by their learning rates, in ascending order."""


def probe(
    encoder: Encoder,
    cuts: Sequence[MonoCut],
    learner: Learner,
    settings: HeadSettings,
    store: AudioStore,
    device: torch.device,
    seed: int,
    precision: str = "fp32",
) -> Trained:
    """Trains all heads on the same batches. `seed` draws the batches, and the weights and masks of SUPERB's heads.

    Of several processes each encodes and learns from its own share of the cuts.
    """
    own = {cut.id: cut for cut in own_share(cuts)}
    frozen = FrozenLayers(encoder, list(own.values()), store, device, precision)
    layers, width = encoder.config.depth + 1, encoder.config.width
    with drawing(seed, device):
        heads = {lr: learner.head(layers, width).to(device) for lr in settings.lrs}
        optimiser = Optimiser([(head, lr) for lr, head in heads.items()], settings.updates, clip_of(settings))
        for drawn in draw(cuts, settings.batch_s, settings.updates, seed):
            mine = [cut for cut in drawn if cut.id in own]
            if not mine:
                optimiser.update(None)
                continue
            xs = frozen.of(mine)
            frames = [x_LTD.shape[1] for x_LTD in xs]
            x_LND = torch.cat(xs, dim=1)
            losses = [learner.loss(head, x_LND, frames, mine) for head in heads.values()]
            # Heads share no parameters, so the gradient of the sum is each head's own.
            optimiser.update(torch.stack(losses).sum() / max(1, learner.count(drawn)))
    return Trained(encoder, {lr: head.eval() for lr, head in heads.items()})


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generator is seeded: heads, masks and dropout draw from it. It is given back as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def draw(cuts: Sequence[MonoCut], batch_s: float, updates: int, seed: int) -> Iterator[list[MonoCut]]:
    """Yields `updates` batches of about `batch_s` seconds of audio each.

    Every cut comes once, in a new order, before any comes again.
    """
    rng = np.random.default_rng(seed)
    batch: list[MonoCut] = []
    while True:
        for index in rng.permutation(len(cuts)):
            batch.append(cuts[index])
            if sum(cut.duration for cut in batch) < batch_s:
                continue
            yield batch
            batch, updates = [], updates - 1
            if updates == 0:
                return
