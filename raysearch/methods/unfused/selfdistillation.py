"""Self-distillation of a student on pseudo-labels: it has several exits, and the deepest one teaches the shallow ones.

An exit is a small classifier of a cut's pseudo-label, on what the student has computed up to some depth.

Shapes: B batch, S samples, T frames, X features of an exit, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.corpora.batches import Batch
from raysearch.corpora.windows import vary_speed, windowed
from raysearch.encoder.conv_encoder import ConvEncoder
from raysearch.encoder.cost import conv_features
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import valid_mask
from raysearch.methods.unfused.settings import SelfDistillationSettings
from raysearch.training.loss_module import LossModule
from raysearch.training.process import generator


class SelfDistillation(LossModule):
    """A student with its exits. The loss is every exit's cross-entropy, and what shallow exits learn from the deepest.

    A shallow exit reads the mean over time of what a stage or block gives, and has two hidden layers of K units. The
    deepest exit reads the mean plus the maximum over time of the last hidden state, and has one linear layer.
    Source: Zhang et al., Be Your Own Teacher, ICCV 2019; UnFuSeD, ICASSP 2023 workshops (arXiv 2303.05668).
    """

    def __init__(self, student: Encoder, clusters: int, settings: SelfDistillationSettings) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        widths = _exit_widths(student)
        # An exit that no loss teaches is not built.
        count = settings.exits if settings.alpha or settings.beta or settings.gamma else 0
        self.exits = nn.ModuleList(_exit(width, clusters) for width in widths[max(0, len(widths) - count) :])
        self.deepest = nn.Linear(student.config.width, clusters)

    def counts(self, audio_BS: Tensor, samples_B: Tensor, labels_B: Tensor) -> dict[str, int]:
        """The cuts."""
        return {"cuts": len(labels_B)}

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, labels_B: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and as a metric the share of pseudo-labels that the deepest exit gets right."""
        states, (last_BTD, frames_B) = _states(self.student, audio_BS, samples_B)
        pooled_BD = _mean(last_BTD, frames_B) + _max(last_BTD, frames_B)
        deepest_BK = self.deepest(pooled_BD).float()
        kept = states[len(states) - len(self.exits) :]
        shallow = [exit(_mean(*state)).float() for exit, state in zip(self.exits, kept, strict=True)]
        loss_B = distillation_loss(deepest_BK, shallow, labels_B, self.settings)
        right_B = deepest_BK.detach().argmax(-1) == labels_B
        return loss_B.sum() / counts["cuts"], {"accuracy": right_B.sum() / counts["cuts"]}


def distillation_loss(
    deepest_BK: Tensor, shallow: list[Tensor], labels_B: Tensor, settings: SelfDistillationSettings
) -> Tensor:
    """`CE(deepest) + sum over exits of alpha CE + beta t^2 KL(deepest || exit) + gamma (2 - 2 cos)` of each cut (B).

    CE is the cross-entropy with the pseudo-label. KL is the divergence between distributions at temperature t, and cos
    the cosine between logits. With `detach` neither of the latter two moves the deepest exit.
    """
    loss_B = F.cross_entropy(deepest_BK, labels_B, reduction="none")
    followed_BK = deepest_BK.detach() if settings.detach else deepest_BK
    t = settings.temperature
    for logits_BK in shallow:
        if settings.alpha:
            loss_B = loss_B + settings.alpha * F.cross_entropy(logits_BK, labels_B, reduction="none")
        if settings.beta:
            log_BK, wanted_BK = (logits_BK / t).log_softmax(-1), (followed_BK / t).log_softmax(-1)
            # The factor t^2 keeps gradients of one size whatever the temperature.
            divergence_B = F.kl_div(log_BK, wanted_BK, reduction="none", log_target=True).sum(-1)
            loss_B = loss_B + settings.beta * t**2 * divergence_B
        if settings.gamma:
            loss_B = loss_B + settings.gamma * (2 - 2 * F.cosine_similarity(logits_BK, followed_BK, dim=-1))
    return loss_B


class ClusteredWindows:
    """Prepares batches for `SelfDistillation`: each cut's pseudo-label, and a window of it at a new random place."""

    def __init__(self, labels: Mapping[str, int], settings: SelfDistillationSettings, seed: int) -> None:
        self._labels, self._settings, self._seed = labels, settings, seed

    def __call__(self, step: int, batch: Batch) -> dict[str, Tensor]:
        rng = generator(self._seed, batch.number)
        if self._settings.speed:
            batch = vary_speed(batch, self._settings.speed, rng)
        cropped = windowed(batch, self._settings.window_s, rng.random(len(batch.cuts)).tolist())
        labels_B = torch.tensor([self._labels[cut.id] for cut in batch.cuts])
        return {"audio_BS": cropped.audio_BS, "samples_B": cropped.samples_B, "labels_B": labels_B}


def _exit(width: int, clusters: int) -> nn.Sequential:
    # The source has batch norm here. With LayerNorm a cut's loss depends on no other cut.
    return nn.Sequential(
        nn.Linear(width, clusters, bias=False),
        nn.LayerNorm(clusters),
        nn.ReLU(),
        nn.Linear(clusters, clusters, bias=False),
        nn.LayerNorm(clusters),
        nn.ReLU(),
        nn.Linear(clusters, clusters),
    )


def _exit_widths(student: Encoder) -> list[int]:
    if isinstance(student, ConvEncoder):
        return [conv_features(student.config, stage + 1) for stage in range(len(student.config.channels))]
    return [student.config.width] * student.config.depth


def _states(
    student: Encoder, audio_BS: Tensor, samples_B: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
    """The inputs of each shallow exit and of the deepest one: hidden states (B, T, X) and numbers of valid frames."""
    if isinstance(student, ConvEncoder):
        stages = student.stages(audio_BS, samples_B)
        encoded = student.encode(*student.project(*stages[-1]))
        return stages, (encoded.output_BTD, encoded.frames_B)
    encoded = student(audio_BS, samples_B)
    shallow = [(hidden_BTD, encoded.frames_B) for hidden_BTD in encoded.hidden[:-1]]
    return shallow, (encoded.output_BTD, encoded.frames_B)


def _mean(x_BTX: Tensor, frames_B: Tensor) -> Tensor:
    valid_BT1 = valid_mask(frames_B, x_BTX.shape[1])[..., None]
    # A window too short for one frame has the mean 0.
    return (x_BTX * valid_BT1).sum(1) / frames_B[:, None].clamp(min=1)


def _max(x_BTX: Tensor, frames_B: Tensor) -> Tensor:
    return x_BTX.masked_fill(~valid_mask(frames_B, x_BTX.shape[1])[..., None], -torch.inf).amax(1)
