"""An update's work against what is counted while it runs, and its mean over a plan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from raysearch.encoder.config import Adapter, Block, Blocks, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.encoder.cost import SUPERB_SAMPLES, cost_parts
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.methods.layerwise.settings import ArmHubertSettings, StarHubertSettings
from raysearch.methods.settings import StudentSettings
from raysearch.methods.speaker.oskdft import Oskdft
from raysearch.methods.speaker.settings import FirstKdSettings, KdSettings, VerificationSettings
from raysearch.methods.speaker.steps import FinetuneSettings, OskdftSettings, TwoStepSettings, UpdateLosses
from raysearch.methods.speaker.verification import Verification
from raysearch.planning.update_cost import SUPERB_S, macs_per_s, routes_macs, states_asked, update_cost
from raysearch.tasks.settings import BackendSettings, MaskSettings

SAMPLES, CUTS = 2000, 2


class Productless(nn.Module):
    """Stands for back end and loss, so that the products that are counted are the student's."""

    settings = BackendSettings(layers="last")

    def __init__(self) -> None:
        super().__init__()
        self.weight_SE = nn.Parameter(torch.zeros(1, 1))

    def forward(self, x: Encoded | Tensor, *others: Any) -> Any:
        return x.output_BTD.mean(1) if isinstance(x, Encoded) else (x.square().mean(1), torch.ones(len(x)))


def student(norm: str) -> EncoderConfig:
    """No two of its parts are alike."""
    sizes = ((2, 24, 4), (3, 12, 5), (1, 20, 6))
    return EncoderConfig(
        # A GroupNorm would take products for its statistics, which are not counted.
        front_end=Waveform(channels=[6, 10], kernels=[10, 4], strides=[5, 4], norm="layer"),
        width=16,
        norm=norm,
        position_conv=PositionConv(kernel=3, groups=1),
        blocks=[Block(heads=heads, head_width=8, ffn=ffn, adapter=Adapter(width=width)) for heads, ffn, width in sizes],
    )


def counted_macs(config: EncoderConfig, losses: UpdateLosses) -> float:
    """Of one cut: an update with plain matrix products in place of fused attention, which no counter sees."""
    backend = Productless()
    plan = SimpleNamespace(at=lambda step: losses)
    encoder = Encoder(config, attention="explicit")
    module = Verification(encoder, backend, backend, plan, MaskSettings())  # type: ignore[arg-type]
    audio_BS, samples_B = torch.randn(CUTS, SAMPLES), torch.full((CUTS,), SAMPLES)
    targets_BTD = torch.zeros(CUTS, int(module.student.frames(SAMPLES)), config.width)
    with FlopCounterMode(display=False) as counter:
        speakers_B = torch.zeros(CUTS, dtype=torch.int64)
        loss, _ = module(audio_BS=audio_BS, samples_B=samples_B, targets_BTD=targets_BTD, speakers_B=speakers_B, step=0)
        loss.backward()
    return counter.get_total_flops() / 2 / CUTS


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize(
    ("imitates", "verifies", "detached"),
    [
        (True, False, False),
        (False, True, False),
        (True, True, False),
        (False, True, True),
        (True, True, True),
    ],
)
def test_routes_cost_what_an_update_executes(norm: str, imitates: bool, verifies: bool, detached: bool) -> None:
    config = student(norm)
    counted = counted_macs(config, UpdateLosses(float(imitates), verifies, detached, 0.0))
    # Nobody asks for the gradient of the audio: the first convolution that is trained lacks one of its three passes.
    first = Waveform(channels=[6], kernels=[10], strides=[5])
    unasked = cost_parts(config.model_copy(update={"front_end": first}), SAMPLES)["front_end"]
    trained = not detached or imitates
    assert routes_macs(imitates, verifies, detached, config, SAMPLES) - trained * unasked == counted


TEACHER = EncoderConfig(front_end=LogMel(), width=64, blocks=Blocks(count=6, heads=4, head_width=16, ffn=256))
STUDENT = Oskdft.student(OskdftSettings(), TEACHER)


def macs_of(settings: FinetuneSettings) -> float:
    """Of an update on a second of audio."""
    cost = update_cost(settings, STUDENT, TEACHER, 1)
    return cost.macs / cost.audio_s


def routes_of(imitates: bool, verifies: bool, detached: bool = False) -> float:
    """The same of one update; one that imitates asks the teacher."""
    passes = routes_macs(imitates, verifies, detached, STUDENT, SUPERB_SAMPLES) / SUPERB_S
    return passes + imitates * macs_per_s(TEACHER)


def test_updates_are_counted_as_the_plan_has_them() -> None:
    both, verifying, imitating = routes_of(True, True), routes_of(False, True), routes_of(True, False)
    assert macs_of(OskdftSettings()) == pytest.approx(both)
    assert macs_of(FinetuneSettings()) == pytest.approx(verifying)
    cut = OskdftSettings(distillation=KdSettings(schedule="cut", cut_at=0.25))
    assert macs_of(cut) == pytest.approx(0.25 * both + 0.75 * verifying)
    steps = TwoStepSettings(distillation=FirstKdSettings(share=0.3))
    assert macs_of(steps) == pytest.approx(0.3 * imitating + 0.7 * verifying)
    late = OskdftSettings(verification=VerificationSettings(reach="detach-after", detach_after=0.6))
    assert macs_of(late) == pytest.approx(0.6 * both + 0.4 * routes_of(True, True, detached=True))


def test_second_route_repeats_the_blocks_and_not_the_front_end() -> None:
    parts = cost_parts(STUDENT, SUPERB_SAMPLES)
    shared = (parts["front_end"] + parts["projection"]) / SUPERB_S
    blocks = macs_per_s(STUDENT) - shared - parts["adapters"] / SUPERB_S
    once = 3 * macs_per_s(STUDENT) + macs_per_s(TEACHER)
    assert macs_of(OskdftSettings()) - once == pytest.approx(3 * blocks)


@pytest.mark.parametrize(
    ("settings", "asked", "asked_kept"),
    [
        (ArmHubertSettings(), 2, 1),
        (ArmHubertSettings.model_validate({"distillation": {"masked_teacher": False}}), 1, 0),
        (ArmHubertSettings.model_validate({"distillation": {"mask_prob": 0.0}}), 1, 0),
        (StarHubertSettings(), 1, 0),
    ],
)
def test_teacher_of_every_block_then_counted_as_often_as_it_is_asked(
    settings: Any, asked: int, asked_kept: int
) -> None:
    student, teacher = settings.student.encoder(), StudentSettings(depth=6, width=256, heads=4).encoder()
    for kept, passes in ((False, asked), (True, asked_kept)):
        cost = update_cost(settings, student, teacher, 1, kept=kept)
        expected = cost.audio_s * (3 * macs_per_s(student) + passes * macs_per_s(teacher))
        assert cost.macs == pytest.approx(expected)
    layers = states_asked(settings, student, teacher)
    assert layers[-1] == 6
    assert len(layers) == 12 + isinstance(settings, StarHubertSettings)
