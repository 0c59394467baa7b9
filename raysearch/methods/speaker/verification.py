"""The loss of a student that imitates its teacher and tells speakers apart, at once or one after the other.

There are two routes through a student: the plain one passes by its adapters, the adapted one goes through them.

Shapes: B crops, S samples, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import mse_loss

from raysearch.corpora.batches import Batch
from raysearch.corpora.crops import Crops
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.methods.speaker.steps import Steps
from raysearch.tasks.disturbed_encoder import masked_features
from raysearch.tasks.settings import MaskSettings
from raysearch.tasks.speaker.aam import AamSoftmax
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.training.loss_module import LossModule
from raysearch.training.precision import autocast


class Verification(LossModule):
    """A student with its back end. The loss is `kd weight x MSE of the plain route + AAM of the adapted route`.

    MSE is the mean squared difference from the teacher's output, and AAM the additive angular margin softmax over
    speakers. `steps` says which of the two an update has, and no other is computed. Parameters that no loss reaches get
    gradients of zero, because with several processes all must have gradients for the same ones.
    """

    def __init__(
        self, student: Encoder, backend: SpeakerBackend, aam: AamSoftmax, steps: Steps, masks: MaskSettings
    ) -> None:
        super().__init__()
        self.student, self.backend, self.aam = student, backend, aam
        self.steps, self.masks = steps, masks

    def counts(self, speakers_B: Tensor, **inputs: Any) -> dict[str, int]:
        """The crops. All have the same number of frames."""
        return {"crops": len(speakers_B)}

    def share(
        self,
        counts: Mapping[str, Tensor],
        audio_BS: Tensor,
        samples_B: Tensor,
        targets_BTD: Tensor | None,
        speakers_B: Tensor,
        step: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of update `step`, and the metrics `kd`, `verification` and `accuracy` as far as it has them.

        `targets_BTD` is the teacher's output. None where the update does not imitate.
        """
        losses = self.steps.at(step)
        with masked_features(self.student, self.masks):
            plain, adapted = self._routes(audio_BS, samples_B, losses.kd_weight > 0, losses.verifies, losses.detached)
        loss = audio_BS.new_zeros(())
        metrics: dict[str, Tensor] = {}
        if plain is not None:
            assert targets_BTD is not None
            kd_B = mse_loss(plain.output_BTD.float(), targets_BTD.float(), reduction="none").mean((1, 2))
            kd = kd_B.sum() / counts["crops"]
            loss = loss + losses.kd_weight * kd
            metrics["kd"] = kd.detach()
        if adapted is not None:
            loss_B, right_B = self.aam(self.backend(adapted), speakers_B, losses.margin)
            verification = loss_B.sum() / counts["crops"]
            loss = loss + verification
            metrics |= {"verification": verification.detach(), "accuracy": right_B.sum() / counts["crops"]}
        return loss + self._idle(
            plain is not None, adapted is not None and not losses.detached, adapted is not None
        ), metrics

    def _routes(
        self, audio_BS: Tensor, samples_B: Tensor, plain: bool, adapted: bool, detached: bool
    ) -> tuple[Encoded | None, Encoded | None]:
        # Both routes share the front end, so one pass is cheaper than two. With detached weights it must be run anew.
        if plain and adapted and not detached:
            return self.student.routes(audio_BS, samples_B)
        of_plain = of_adapted = None
        if plain:
            of_plain = self.student.encode(*self.student.features(audio_BS, samples_B), plain=len(audio_BS))
        if adapted:
            # The weights are detached for this one call. In the module itself they go on learning from imitation.
            weights = self._detached() if detached else {}
            of_adapted = functional_call(self.student, weights, (audio_BS, samples_B))
        return of_plain, of_adapted

    def _detached(self) -> dict[str, Tensor]:
        return {name: x.detach() for name, x in self.student.named_parameters() if not is_adapter(name)}

    def _idle(self, plain: bool, shared_verifies: bool, verifies: bool) -> Tensor:
        """Zero, with a gradient of zero for every parameter that no loss reaches."""
        idle: list[nn.Parameter] = []
        if not verifies:
            idle += [*self.backend.parameters(), *self.aam.parameters()]
        for name, parameter in self.student.named_parameters():
            # A back end that reads all hidden states reads them before the final LayerNorm.
            heard = shared_verifies and not (self.backend.settings.layers == "sum" and self._is_final_norm(name))
            if not (verifies if is_adapter(name) else plain or heard):
                idle.append(parameter)
        return _nothing(idle, self.aam.weight_SE)

    def _is_final_norm(self, name: str) -> bool:
        return self.student.config.norm == "pre" and name.startswith("norm.")


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return ".adapter." in name


def _nothing(parameters: Iterable[nn.Parameter], like: Tensor) -> Tensor:
    return 0.0 * sum((parameter.sum() for parameter in parameters), like.new_zeros(()))


@dataclass(frozen=True)
class ImitationBatches:
    """Prepares batches for `Verification`: the student hears the disturbed crops, the teacher the clean ones.

    The teacher's output is not kept on disk. A crop begins anywhere, and each frame depends on all of the crop, so that
    frames of the whole recording would be others.
    """

    teacher: Encoder
    steps: Steps
    device: torch.device
    precision: str

    @torch.no_grad()
    def __call__(self, step: int, batch: Batch) -> Mapping[str, Any]:
        assert isinstance(batch, Crops)
        samples_B = batch.samples_B.to(self.device)
        targets_BTD = None
        if self.steps.at(step).kd_weight > 0:
            with autocast(self.device, self.precision):
                targets_BTD = self.teacher(batch.audio_BS.to(self.device, non_blocking=True), samples_B).output_BTD
        return {
            "audio_BS": batch.disturbed_BS,
            "samples_B": samples_B,
            "targets_BTD": targets_BTD,
            "speakers_B": batch.speakers_B,
            "step": step,
        }
