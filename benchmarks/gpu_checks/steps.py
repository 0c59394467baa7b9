"""Whole updates from audio in memory to new weights: HuBERT Base and Fast-HuBERT, and torchaudio's HuBERT beside them.

On a GPU a reader makes the batches ahead, as in training; they are labelled, masked and copied in the process that
trains. The models take turns, so that whatever else the machine does slows all of them.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import math
import statistics
import time

import torch
from pretrain_step import FixedMask, Ratio, Torchaudio, base, fast, loss_difference, narrow, ours_from, spans
from torch import Tensor, nn

from gpu_checks.check import Found, said
from gpu_checks.device import Setting
from gpu_checks.encoders import kinds
from gpu_checks.speech import corpus
from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.imports.torchaudio_library import load_torchaudio
from raysearch.errors import InputError
from raysearch.methods.labels.prediction import MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.training.monitoring.utilisation import training_flops
from raysearch.training.precision import autocast

TINY = {"width": 64, "blocks": 2, "channels": 16}
EQUAL = 1e-3
"""Most relative difference of torchaudio's loss and ours at equal weights, in fp32."""


def check(setting: Setting, found: Found) -> None:
    rows, seconds, rounds = (2, 1.0, 3) if setting.tiny else (8, 10.0, 12)
    updates = _updates(setting, found, rows, seconds)
    for turn in range(rounds + 1):
        # In reverse every other time: whatever the model before leaves in the caches helps or harms both alike.
        for one in list(updates.values())[:: 1 if turn % 2 else -1]:
            one.take()
        if turn == 0:  # the first update claims memory and chooses kernels, and is not counted
            for one in updates.values():
                one.seconds.clear()
    for name, one in updates.items():
        found.row(name, **one.figures(rows, seconds))
        found.expect(math.isfinite(one.loss), f"{name}: the loss is {one.loss}")
    if theirs := updates.get("torchaudio"):
        for name in [name for name in updates if name != "torchaudio"]:
            found.row(f"{name} to torchaudio", **Ratio.of(theirs.seconds, updates[name].seconds)._asdict())


def _updates(setting: Setting, found: Found, rows: int, seconds: float) -> dict[str, Updates]:
    """The updates of each model, all on the same batches."""
    speech = corpus([seconds] * 4 * rows)
    for cut in speech.splits["train"]:
        # All audio is in memory before the first update, or the model that hears a cut first would pay for it.
        speech.audio.audio(cut)
    cuts, readers = speech.splits["train"], 1 if setting.on_gpu else 0
    updates = {}
    for name, (module, config) in _models(setting, found, round(seconds * SAMPLE_RATE_HZ)).items():
        batches = TrainingBatches(cuts, speech.audio, rows * seconds, 0, readers=readers)
        updates[name] = Updates(setting, module, config, batches)
    return updates


def _models(setting: Setting, found: Found, samples: int) -> dict[str, tuple[nn.Module, AnyConfig]]:
    """Each model with the configuration of its encoder. Ours starts with the weights of torchaudio's."""
    clusters = _clusters(setting)
    student = fast(clusters=clusters, **TINY) if setting.tiny else fast(768, clusters)
    own = {"fasthubert": (student, student.student.config)}
    try:
        load_torchaudio("models")
    except InputError as err:
        found.leave_out(f"torchaudio, with which nothing is compared: {said(err)}")
        hubert = MaskedPrediction(Encoder(kinds(setting.tiny)["waveform group"]), clusters, PredictionSettings())
        return {"hubert": (hubert, hubert.student.config), **own}
    theirs = narrow(clusters, **TINY) if setting.tiny else base(clusters)
    mask_D = torch.rand(theirs.logit_generator.final_proj.in_features)
    hubert = ours_from(theirs, mask_D, clusters)
    config = hubert.student.config
    batch = {"audio_BS": 0.1 * torch.randn(1, samples), "samples_B": torch.tensor([samples])}
    batch |= _labels(clusters, 1, frames(config, samples))
    theirs.mask_generator = FixedMask(batch["mask_BT"], mask_D)
    apart = loss_difference(theirs, hubert, batch)
    found.row("losses", apart=apart)
    found.expect(apart < EQUAL, f"torchaudio's loss and ours are {apart:.2g} apart; expected under {EQUAL:g}")
    return {"torchaudio": (Torchaudio(theirs), config), "hubert": (hubert, config), **own}


def _clusters(setting: Setting) -> int:
    return 20 if setting.tiny else 500


def _labels(clusters: int, rows: int, frames: int) -> dict[str, Tensor]:
    return {"labels_BT": torch.randint(clusters, (rows, frames)), "mask_BT": spans(rows, frames, 10)}


class Updates:
    """Takes the updates of one model, and keeps what they took."""

    def __init__(self, setting: Setting, module: nn.Module, config: AnyConfig, batches: TrainingBatches) -> None:
        self.module = module.to(setting.device).train()
        self.seconds: list[float] = []
        self.loss = math.nan
        self._peak_bytes = 0
        self._setting, self._config = setting, config
        self._stream = batches.from_step(0)
        self._optimiser = torch.optim.AdamW(self.module.parameters(), lr=1e-4, fused=True)

    def take(self) -> None:
        setting = self._setting
        before_bytes = setting.restart_peak()
        setting.synchronise()
        began_s = time.perf_counter()
        moved = {key: value.to(setting.device) for key, value in self._inputs(next(self._stream)).items()}
        if isinstance(self.module, Torchaudio):
            self.module.model.mask_generator.mask_BT = moved.pop("mask_BT")
            del moved["samples_B"]
        with autocast(setting.device, setting.precision):
            loss, _ = self.module(**moved)
        loss.backward()
        self._optimiser.step()
        self._optimiser.zero_grad()
        setting.synchronise()
        self.seconds.append(time.perf_counter() - began_s)
        self.loss = float(loss.detach())
        self._peak_bytes = setting.peak_bytes() - before_bytes

    def figures(self, rows: int, seconds: float) -> dict[str, float]:
        """What the updates of so many rows of so many seconds took."""
        step_s = statistics.median(self.seconds)
        figures = {"step_s": step_s, "audio_s_per_s": rows * seconds / step_s}
        if peak := self._setting.peak_flops():
            work = training_flops(self._config, [round(seconds * SAMPLE_RATE_HZ)] * rows)
            figures["mfu"] = work / step_s / peak
        # The other models lie on the device too, and are not counted.
        figures["peak_gb"] = (self._peak_bytes + self._kept_bytes()) / 1e9
        return figures

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        rows, count = len(batch.cuts), frames(self._config, batch.audio_BS.shape[1])
        labels = _labels(_clusters(self._setting), rows, count)
        return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, **labels}

    def _kept_bytes(self) -> int:
        """Bytes of the weights and of AdamW's moments, which lie on the GPU also between updates."""
        moments = [x for state in self._optimiser.state.values() for x in state.values() if x.dim()]
        return sum(x.nbytes for x in [*self.module.parameters(), *self.module.buffers(), *moments])
