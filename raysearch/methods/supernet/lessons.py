"""What a supernet and its slices learn: the teacher's hidden states and, where the search judges it, to read.

Shapes: B batch, S samples, T frames, D width, L teacher layers, W teacher width, N frames of several cuts end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.supernet.shared_weights import Supernet
from raysearch.encoder.supernet.sub_network import SubNetwork
from raysearch.methods.features.regression import imitation
from raysearch.methods.supernet.heads import Heads
from raysearch.methods.supernet.settings import SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace
from raysearch.tasks.ctc.tokens import Unit, is_labelled
from raysearch.tasks.layers import output_rows
from raysearch.tasks.learner import Learner
from raysearch.training.loss_module import LossModule
from raysearch.training.recipe import Prepare


class Reading(NamedTuple):
    """What the head for the task learns."""

    learner: Learner
    unit: Unit
    """What it reads: phones or characters. Cuts of which these are not known teach it nothing."""

    def count(self, cuts: Sequence[MonoCut]) -> int:
        """What the learner counts."""
        return self.learner.count([cut for cut in cuts if is_labelled(cut, self.unit)])

    def loss(self, head: nn.Module, encoded: Encoded, cuts: Sequence[MonoCut]) -> Tensor:
        """The summed loss of a batch."""
        xs = output_rows(encoded)
        labelled = [(x_LTD, cut) for x_LTD, cut in zip(xs, cuts, strict=True) if is_labelled(cut, self.unit)]
        if not labelled:
            # Of several processes each must have a gradient for every parameter.
            return 0.0 * head(xs[0]).sum()
        known = [x_LTD for x_LTD, _ in labelled]
        frames_B = [x_LTD.shape[1] for x_LTD in known]
        return self.learner.loss(head, torch.cat(known, dim=1), frames_B, [cut for _, cut in labelled])


class Lesson(LossModule):
    """A student under its heads. The loss is that of features, plus that of the task if it is read."""

    def __init__(self, student: Encoder, heads: Heads, settings: SupernetSettings, reading: Reading | None) -> None:
        super().__init__()
        self.student = student
        self.heads = heads
        self._settings = settings
        self._reading = reading

    def counts(
        self,
        audio_BS: Tensor,
        samples_B: Tensor,
        targets_LBTW: Tensor,
        cuts: Sequence[MonoCut],
        subs: Sequence[SubNetwork] = (),
    ) -> dict[str, Any]:
        """The real frames, and what the learner counts."""
        found: dict[str, Any] = {"frames": frames(self.student.config, samples_B).sum()}
        return found if self._reading is None else {**found, "learned": self._reading.count(cuts)}

    def share(
        self,
        counts: Mapping[str, Tensor],
        audio_BS: Tensor,
        samples_B: Tensor,
        targets_LBTW: Tensor,
        cuts: Sequence[MonoCut],
        subs: Sequence[SubNetwork] = (),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; as metrics the mean cosine and, if the task is read, the loss of that."""
        encoded, heads = self.student(audio_BS, samples_B), (self.heads.features, self.heads.task)
        loss, metrics, _ = self._learned(counts, encoded, heads, targets_LBTW, cuts)
        return loss, metrics

    def _learned(
        self,
        counts: Mapping[str, Tensor],
        encoded: Encoded,
        heads: tuple[nn.Module, nn.Module | None],
        targets_LBTW: Tensor,
        cuts: Sequence[MonoCut],
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss of one network, its metrics, and what it predicts of the targets (L, B, T, W)."""
        features, task = heads
        predicted_LBTW = features(encoded.output_BTD).float()
        loss, cosine = imitation(
            predicted_LBTW, targets_LBTW, encoded.valid_BT, counts["frames"], self._settings.distillation
        )
        metrics = {"cosine": cosine}
        if self._reading is not None and task is not None:
            read = self._reading.loss(task, encoded, cuts) / counts["learned"]
            loss = loss + self._settings.supernet.task_weight * read
            metrics["read"] = read.detach()
        return loss, metrics, predicted_LBTW.detach()


class Sandwich(Lesson):
    """A supernet, of which each update trains the largest sub-network, the smallest, and some that are drawn.

    The loss is the mean over them.
    Source: the sandwich rule of Yu and Huang, Universally slimmable networks, ICCV 2019, section 3.2; smaller networks
    that learn from the largest as there, or all from a teacher as in Wang et al., LightHuBERT, Interspeech 2022.
    """

    def __init__(self, supernet: Supernet, heads: Heads, settings: SupernetSettings, reading: Reading | None) -> None:
        super().__init__(supernet.encoder, heads, settings, reading)
        # Only the method is kept, not the module: the weights would else have two names.
        self._run = supernet.forward

    def share(
        self,
        counts: Mapping[str, Tensor],
        audio_BS: Tensor,
        samples_B: Tensor,
        targets_LBTW: Tensor,
        cuts: Sequence[MonoCut],
        subs: Sequence[SubNetwork] = (),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; as metrics those of the largest and of the smallest sub-network, which are the first two."""
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for sub in subs:
            encoded, heads = self._run(audio_BS, samples_B, sub), self.heads.of(sub.width)
            loss, found, predicted_LBTW = self._learned(counts, encoded, heads, targets_LBTW, cuts)
            if not losses and self._settings.supernet.smaller == "largest":
                targets_LBTW = predicted_LBTW
            if len(losses) < 2:
                metrics |= {f"{name}{'_smallest' if losses else ''}": value for name, value in found.items()}
            losses.append(loss)
        return torch.stack(losses).mean(), metrics


def with_cuts(prepare: Prepare) -> Prepare:
    """Prepares batches for a lesson: what `prepare` gives, and the cuts, whose labels the task's head learns."""

    def prepared(step: int, batch: Batch) -> Mapping[str, Any]:
        return {**prepare(step, batch), "cuts": batch.cuts}

    return prepared


def with_sub_networks(prepare: Prepare, space: SliceSpace, drawn: int, seed: int) -> Prepare:
    """Adds the sub-networks that an update trains: the largest, the smallest, and so many that are drawn.

    They follow from the seed and the update's number alone, so that a resumed training draws the same.
    """

    def prepared(step: int, batch: Batch) -> Mapping[str, Any]:
        rng = np.random.default_rng([seed, step])
        return {
            **prepare(step, batch),
            "subs": (space.largest, space.smallest, *(space.drawn(rng) for _ in range(drawn))),
        }

    return prepared
