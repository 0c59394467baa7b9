"""Fine-tuning: a copy of an encoder is trained together with a head on it.

The head learns at a higher rate than the encoder. With one rate for both, a good encoder is wrecked before its head is
of use.

Shapes: L layers, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore, Batch, TrainingBatches
from raysearch.corpora.windows import vary_speed
from raysearch.encoder.build import set_dropout
from raysearch.encoder.encoder import Encoder
from raysearch.tasks.disturbed_encoder import dropped_blocks, masked_features
from raysearch.tasks.layers import hidden_layers
from raysearch.tasks.learner import Learner
from raysearch.tasks.optimiser import Optimiser
from raysearch.tasks.probe import Trained, drawing
from raysearch.tasks.settings import HeadSettings
from raysearch.tasks.superb import clip_of
from raysearch.training.process import own_share, synchronise_norms, world_size


def finetune(
    encoder: Encoder,
    cuts: Sequence[MonoCut],
    learner: Learner,
    settings: HeadSettings,
    store: AudioStore,
    device: torch.device,
    seed: int,
    precision: str = "fp32",
) -> Trained:
    """A tuned copy of the encoder with its one head, which is filed under the encoder's learning rate.

    The given encoder stays as it is. The copy is trained in full precision, whatever `precision` is. Of several
    processes each learns from its own rows of every batch.
    """
    tuned = deepcopy(encoder).to(device).requires_grad_(True).train()
    set_dropout(tuned, settings.dropout)
    synchronise_norms(tuned)
    batches = TrainingBatches(cuts, store, settings.batch_s, seed).from_step(0)
    with drawing(seed, device):
        head = learner.head(encoder.config.depth + 1, encoder.config.width).to(device)
        rates = [(tuned, settings.encoder_lr), (head, settings.head_lr)]
        optimiser = Optimiser(rates, settings.updates, clip_of(settings))
        for step, batch in enumerate(islice(batches, settings.updates)):
            if settings.speed:
                batch = vary_speed(batch, settings.speed, np.random.default_rng([seed, step]))
            # The optimiser leaves weights alone that ask for no gradient.
            tuned.requires_grad_(step >= settings.frozen * settings.updates)
            mine, times = _own_rows(batch)
            with masked_features(tuned, settings), dropped_blocks(tuned, settings.layer_drop):
                xs = hidden_layers(tuned, mine, device)
            loss = learner.loss(head, torch.cat(xs, dim=1), [x_LTD.shape[1] for x_LTD in xs], mine.cuts)
            optimiser.update(loss / (times * max(1, learner.count(batch.cuts))))
    set_dropout(tuned, 0.0)
    return Trained(tuned.eval(), {settings.encoder_lr: head.eval()})


def _own_rows(batch: Batch) -> tuple[Batch, int]:
    """The rows of a batch that fall to this process, and how many processes each of its rows falls to.

    A batch with fewer rows than there are processes falls to all of them: none may be left without a row, since all
    must run each pass.
    """
    if len(batch.cuts) < world_size():
        return batch, world_size()
    rows = own_share(range(len(batch.cuts)))
    samples_B = batch.samples_B[rows]
    audio_BS = batch.audio_BS[rows, : int(samples_B.max())]
    return replace(batch, audio_BS=audio_BS, samples_B=samples_B, cuts=[batch.cuts[row] for row in rows]), 1
