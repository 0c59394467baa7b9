"""Times pre-training steps on the same seconds of audio: ours, and those of torchaudio's HuBERT with its loss.

    python benchmarks/pretrain_step.py [--device cuda] [--precision bf16] [--batch 8] [--json]

A step is the forward pass from the waveform, the loss and the backward pass, without dropout. Every model hears the
same audio. Labels and masks are drawn at 50 Hz. Fast-HuBERT students get every second label and masks drawn at 25 Hz.
The models take steps in turn, every other round in reverse order, so that a busy machine slows all of them. A ratio is
taken within each round. Its median is printed with its quartiles, and above 1 ours is faster.

The benchmark needs torch, torchaudio, numpy and pydantic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.config import SAMPLE_RATE_HZ, Blocks, EncoderConfig, LogMel, PositionConv
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.torchaudio import import_torchaudio
from raysearch.methods.labels.prediction import MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.training.monitoring.utilisation import peak_flops, training_flops
from raysearch.training.precision import autocast

if TYPE_CHECKING:
    from torchaudio.models.wav2vec2.model import HuBERTPretrainModel

PENALTY = 10.0
"""Weight of torchaudio's penalty on the outputs of the convolutions, taken from its recipe."""

PAIRS = {
    "hubert_vs_torchaudio": ("torchaudio_12x768", "hubert_12x768"),
    "fast_12x768": ("torchaudio_12x768", "fast_12x768"),
    "fast_12x384": ("torchaudio_12x384", "fast_12x384"),
    "fast_12x768_vs_our_hubert": ("hubert_12x768", "fast_12x768"),
}
"""For each ratio, the model whose time is divided, and the one by whose time."""


class FixedMask(nn.Module):
    """Takes the place of the mask generator in torchaudio's model, so that both models mask the same frames."""

    def __init__(self, mask_BT: Tensor, embedding_D: Tensor) -> None:
        super().__init__()
        self.mask_BT, self.embedding_D = mask_BT, nn.Parameter(embedding_D)

    def forward(self, x_BTD: Tensor, padding_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        return torch.where(self.mask_BT[..., None], self.embedding_D.to(x_BTD.dtype), x_BTD), self.mask_BT


class Torchaudio(nn.Module):
    """torchaudio's model with the loss of its recipe: that of masked frames and a penalty, by the number of frames."""

    def __init__(self, model: HuBERTPretrainModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio_BS: Tensor, labels_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The loss to minimise, and its part without the penalty."""
        logits_NK, _, penalty = self.model(audio_BS, labels_BT)
        # torchaudio puts the similarity to the right label first.
        nll = F.cross_entropy(logits_NK.float(), logits_NK.new_zeros(len(logits_NK), dtype=torch.long))
        return nll + PENALTY * penalty, nll


def base(clusters: int) -> HuBERTPretrainModel:
    """torchaudio's HuBERT Base without dropout."""
    # Imported here, since `gpu.py` times our models also where torchaudio is not installed.
    from torchaudio.models import hubert_pretrain_base

    none = {"encoder_projection_dropout": 0.0, "encoder_attention_dropout": 0.0, "encoder_dropout": 0.0}
    return hubert_pretrain_base(**none, encoder_layer_drop=0.0, num_classes=clusters)


def narrow(clusters: int, width: int = 384, blocks: int = 12, channels: int = 512) -> HuBERTPretrainModel:
    """torchaudio's HuBERT as wide and deep as the smaller of our Fast-HuBERTs, or as told, without dropout."""
    from torchaudio.models import hubert_pretrain_model

    return hubert_pretrain_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=[(channels, 10, 5), *[(channels, 3, 2)] * 4, *[(channels, 2, 2)] * 2],
        extractor_conv_bias=False,
        encoder_embed_dim=width,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16,
        encoder_num_layers=blocks,
        encoder_num_heads=width // 64,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=4 * width,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.0,
        mask_prob=0.8,
        mask_selection="static",
        mask_other=0.0,
        mask_length=10,
        no_mask_overlap=False,
        mask_min_space=1,
        mask_channel_prob=0.0,
        mask_channel_selection="static",
        mask_channel_other=0.0,
        mask_channel_length=10,
        no_mask_channel_overlap=False,
        mask_channel_min_space=1,
        skip_masked=False,
        skip_nomask=False,
        num_classes=clusters,
        final_dim=256,
        feature_grad_mult=0.1,
    )


def ours_from(theirs: HuBERTPretrainModel, mask_D: Tensor, clusters: int) -> MaskedPrediction:
    """Our encoder and objective with the weights of torchaudio's model."""
    module = MaskedPrediction(import_torchaudio(theirs.wav2vec2), clusters, PredictionSettings())
    head = module.heads[0]
    head.project.load_state_dict(theirs.logit_generator.final_proj.state_dict())
    with torch.no_grad():
        head.codes_KP.copy_(theirs.logit_generator.label_embeddings)
        assert module.mask_D is not None
        module.mask_D.copy_(mask_D)
    return module


def fast(width: int, clusters: int, blocks: int = 12, channels: int = 512) -> MaskedPrediction:
    """A Fast-HuBERT student: log-mel front end at 25 Hz, a linear head and an intermediate loss."""
    config = EncoderConfig(
        front_end=LogMel(channels=[channels, channels]),
        width=width,
        norm="post",
        position_conv=PositionConv(),
        blocks=Blocks(count=blocks, heads=width // 64, head_width=64, ffn=4 * width),
    )
    return MaskedPrediction(Encoder(config), clusters, PredictionSettings(head="linear", intermediate=1 / 3))


class Steps:
    """Takes the steps of one model and times them."""

    def __init__(self, module: nn.Module, inputs: dict[str, Tensor], device: torch.device, precision: str) -> None:
        self._module, self._inputs = module.to(device).train(), {k: v.to(device) for k, v in inputs.items()}
        self._device, self._precision = device, precision
        self.seconds: list[float] = []

    def take(self) -> None:
        self._synchronise()
        began_s = time.perf_counter()
        with autocast(self._device, self._precision):
            loss, _ = self._module(**self._inputs)
        loss.backward()
        self._synchronise()
        self.seconds.append(time.perf_counter() - began_s)
        self._module.zero_grad()

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


class Ratio(NamedTuple):
    """How many times as fast one model is as another, over rounds in which both took a step."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""

    @classmethod
    def of(cls, slower_s: list[float], faster_s: list[float]) -> Ratio:
        paired = [slow / fast for slow, fast in zip(slower_s, faster_s, strict=True)]
        low, median, high = statistics.quantiles(paired, n=4, method="inclusive")
        return cls(median, low, high)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(args.device)
    torch.manual_seed(0)
    audio_BS = torch.randn(args.batch, round(args.seconds * SAMPLE_RATE_HZ)) * 0.1
    samples_B = torch.full((args.batch,), audio_BS.shape[1])
    theirs, theirs_384 = base(args.clusters), narrow(args.clusters)
    probe = import_torchaudio(theirs.wav2vec2)
    frames = probe.frames(audio_BS.shape[1])
    labels_BT = torch.randint(args.clusters, (args.batch, frames))
    mask_BT = spans(args.batch, frames, 10)
    for model in (theirs, theirs_384):
        model.mask_generator = FixedMask(mask_BT.to(device), torch.rand(model.logit_generator.final_proj.in_features))
    ours = ours_from(theirs, theirs.mask_generator.embedding_D.detach(), args.clusters)
    inputs = {"audio_BS": audio_BS, "samples_B": samples_B, "labels_BT": labels_BT, "mask_BT": mask_BT}
    difference = loss_difference(theirs, ours, inputs) if device.type == "cpu" else None

    students = {"fast_12x768": fast(768, args.clusters), "fast_12x384": fast(384, args.clusters)}
    slow = students["fast_12x768"].student.frames(audio_BS.shape[1])
    at_25hz = inputs | {"labels_BT": labels_BT[:, ::2][:, :slow], "mask_BT": spans(args.batch, slow, 10)}
    audio = {"audio_BS": audio_BS, "labels_BT": labels_BT}
    models = {
        "torchaudio_12x768": Steps(Torchaudio(theirs), audio, device, args.precision),
        "torchaudio_12x384": Steps(Torchaudio(theirs_384), audio, device, args.precision),
        "hubert_12x768": Steps(ours, inputs, device, args.precision),
        **{name: Steps(student, at_25hz, device, args.precision) for name, student in students.items()},
    }
    for turn in range(args.steps + 1):
        # In reverse every other time: whatever the model before leaves in the caches helps or harms both alike.
        for steps in list(models.values())[:: 1 if turn % 2 else -1]:
            steps.take()
        if turn == 0:  # the first step claims memory and chooses kernels, and is not counted
            for steps in models.values():
                steps.seconds.clear()
    seconds = {name: steps.seconds for name, steps in models.items()}
    step_s = {name: statistics.median(taken) for name, taken in seconds.items()}
    configs = {"hubert_12x768": probe.config} | {name: student.student.config for name, student in students.items()}
    return {
        "ratios": {
            name: Ratio.of(seconds[slower], seconds[faster])._asdict() for name, (slower, faster) in PAIRS.items()
        },
        "loss_difference": difference,
        "step_s": step_s,
        "audio_s_per_s": {name: args.batch * args.seconds / seconds for name, seconds in step_s.items()},
        "mfu": _utilisation(device, args, configs, step_s),
        "setting": {**vars(args), "threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def loss_difference(theirs: HuBERTPretrainModel, ours: MaskedPrediction, inputs: dict[str, Tensor]) -> float:
    """Relative difference of the two losses at equal weights, masks and labels."""
    with torch.no_grad():
        _, expected = Torchaudio(theirs).eval()(inputs["audio_BS"], inputs["labels_BT"])
        found, _ = ours.eval()(**inputs)
    return abs(float(found - expected)) / float(expected)


def spans(rows: int, frames: int, length: int) -> Tensor:
    """A mask (rows, frames) as HuBERT draws it: 0.8 x frames / length spans in each row, at random places."""
    mask_BT = torch.zeros(rows, frames, dtype=torch.bool)
    for mask_T in mask_BT:
        for start in torch.randperm(frames - length)[: round(0.8 * frames / length)].tolist():
            mask_T[start : start + length] = True
    return mask_BT


def _utilisation(
    device: torch.device, args: argparse.Namespace, configs: dict[str, EncoderConfig], step_s: dict[str, float]
) -> dict[str, float] | None:
    """Share of the device's peak FLOP/s that each of our models uses. None if the peak is not known."""
    peak = peak_flops(device, args.precision)
    if peak is None:
        return None
    samples = round(args.seconds * SAMPLE_RATE_HZ)
    return {n: training_flops(c, [samples] * args.batch) / step_s[n] / peak for n, c in configs.items()}


def show(found: dict[str, Any]) -> None:
    setting = found["setting"]
    print("{device} {precision}, {batch} x {seconds:g} s of audio, K = {clusters}, {threads} threads".format(**setting))
    for name, seconds in found["step_s"].items():
        print(f"{name:20} {seconds:8.3f} s a step  {found['audio_s_per_s'][name]:9.1f} s of audio a second")
    for name, ratio in found["ratios"].items():
        print("{:26} {median:6.2f} times as fast (quartiles {low:.2f} to {high:.2f})".format(name, **ratio))
    if found["loss_difference"] is not None:
        print(f"relative difference of the losses of torchaudio's model and ours: {found['loss_difference']:.1e}")
    for name, share in (found["mfu"] or {}).items():
        print(f"{name:20} {share:6.1%} of the device's peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options: list[tuple[str, Callable[[str], Any], Any]] = [
        ("--device", str, "cpu"),
        ("--precision", str, "fp32"),
        ("--batch", int, 1),
        ("--seconds", float, 10.0),
        ("--clusters", int, 500),
        ("--steps", int, 9),
        ("--threads", int, 1),
    ]
    for option, kind, default in options:
        parser.add_argument(option, type=kind, default=default)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure(args)
    print(json.dumps(found)) if args.json else show(found)


if __name__ == "__main__":
    main()
