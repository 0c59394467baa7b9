"""Masked layers and relations: what their losses are, on encoders whose hidden states are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from raysearch.corpora.batches import Batch
from raysearch.encoder.config import ConvConfig
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.methods.features.settings import FeatureStudent
from raysearch.methods.features.start import started_student, student_config
from raysearch.methods.layerwise.masked_layers import MaskedBatches, MaskedLayers
from raysearch.methods.layerwise.relations import Relations
from raysearch.methods.layerwise.settings import LayerwiseSettings, MaskedLayersSettings, RelationSettings
from raysearch.methods.pruning.budget import promised
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.methods.settings import StudentSettings
from raysearch.training.settings import TrainingSettings
from tests.encoder.small_encoders import small, thin

SAMPLES = torch.tensor([9000, 5000])
AUDIO = 0.1 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0))
AUDIO[1, 5000:] = 0


def states(encoder: Encoder) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(encoder(AUDIO, SAMPLES).hidden)


def batch() -> Batch:
    return Batch(AUDIO, SAMPLES, [])


def test_layers_then_at_the_same_share_of_the_depth() -> None:
    settings = LayerwiseSettings()
    assert settings.layers_of(4, 4) == [0, 1, 2, 3, 4]
    assert settings.layers_of(2, 12) == [0, 6, 12]
    assert settings.layers_of(4, 6) == [0, 2, 3, 5, 6]
    assert MaskedLayersSettings().layers_of(12, 6) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_student_like_its_teacher_then_no_relation_is_amiss() -> None:
    encoder = Encoder(small())
    loss, parts = Relations(encoder, RelationSettings())(AUDIO, SAMPLES, states(encoder))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert parts.keys() == {"within", "across"}


@pytest.mark.parametrize(("within", "across"), [(1.0, 0.0), (0.0, 2.0)])
def test_relations_then_the_mean_over_pairs_of_real_frames_of_each_row_alone(within: float, across: float) -> None:
    torch.manual_seed(1)
    student, targets_LBTW = Encoder(small()), torch.randn(3, 2, 14, 24)
    module = Relations(student, RelationSettings(within_weight=within, across_weight=across))
    loss, _ = module(AUDIO, SAMPLES, targets_LBTW)
    total = pairs = 0.0
    for row, samples in enumerate(SAMPLES.tolist()):
        count = student.frames(samples)
        mine = [layer_norm(x[0], [16]) for x in student(AUDIO[row : row + 1, :samples], SAMPLES[row : row + 1]).hidden]
        theirs = [layer_norm(x[row, :count], [24]) for x in targets_LBTW]
        pairs += count**2
        for block in (1, 2):
            first = block if within else block - 1
            gap = mine[first] @ mine[block].T / 16 - theirs[first] @ theirs[block].T / 24
            total += gap.square().sum().item()
    assert loss.item() == pytest.approx((within + across) * total / pairs / 2, rel=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_relations_then_every_parameter_that_is_read_gets_a_gradient(norm: str) -> None:
    module = Relations(Encoder(thin(norm)), RelationSettings())
    for parameter in module.unread():
        parameter.requires_grad_(False)
    frames = module.student.frames(9000)
    module(AUDIO, SAMPLES, torch.randn(3, 2, frames, 8))[0].backward()
    without = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_masked_layers_then_each_part_is_of_its_own_frames_and_targets() -> None:
    torch.manual_seed(2)
    settings = MaskedLayersSettings(inner_weight=0.25, unmasked_weight=0.5)
    module = MaskedLayers(Encoder(small()), 10, settings)
    frames = [module.student.frames(int(n)) for n in SAMPLES]
    whole_LBTW, partly_LBTW = torch.randn(2, 2, 2, frames[0], 10)
    mask_BT = torch.rand(2, frames[0]) < 0.5
    inputs = {"targets_LBTW": whole_LBTW, "mask_BT": mask_BT, "masked_targets_LBTW": partly_LBTW}
    loss, parts = module(audio_BS=AUDIO, samples_B=SAMPLES, **inputs)
    x_BTD, frames_B = module.student.features(AUDIO, SAMPLES)
    encoded = module.student.encode(torch.where(mask_BT[..., None], module.mask_D, x_BTD), frames_B)
    sums = {"masked": 0.0, "unmasked": 0.0}
    for weight, head, hidden, whole, partly in zip(
        (0.25, 1.0), module.heads, encoded.hidden[1:], whole_LBTW, partly_LBTW, strict=True
    ):
        for row, count in enumerate(frames):
            for t in range(count):
                part, target = ("masked", whole) if mask_BT[row, t] else ("unmasked", partly)
                sums[part] += weight * (head(hidden[row, t]) - target[row, t]).square().mean().item() / sum(frames)
    assert {name: value.item() for name, value in parts.items()} == pytest.approx(sums, rel=1e-4)
    assert loss.item() == pytest.approx(sums["masked"] + 0.5 * sums["unmasked"], rel=1e-4)


@pytest.mark.parametrize("repeated", [None, False, True])
def test_masked_batches_then_the_teacher_hears_what_is_not_masked(repeated: bool | None) -> None:
    student, teacher = Encoder(thin("pre", repeated)), Encoder(small("layer")).eval()
    prepare = MaskedBatches(student, teacher, [1, 2], "fp32", MaskedLayersSettings(mask_prob=0.5), seed=3)
    first, again = prepare(0, batch()), prepare(7, batch())
    mask_BT, frames = first["mask_BT"], [int(student.frames(n)) for n in SAMPLES]
    assert torch.equal(mask_BT, again["mask_BT"])
    assert mask_BT.shape == (2, frames[0])
    assert not mask_BT[1, frames[1] :].any()
    assert mask_BT.any()
    assert first["targets_LBTW"].shape == first["masked_targets_LBTW"].shape == (2, 2, frames[0], 16)
    assert not torch.allclose(first["targets_LBTW"], first["masked_targets_LBTW"])
    loss, _ = MaskedLayers(student, 16, MaskedLayersSettings())(**first)
    assert loss.isfinite()
    unmasked = MaskedBatches(student, teacher, [1, 2], "fp32", MaskedLayersSettings(mask_prob=0.0), seed=3)(0, batch())
    assert unmasked.keys() == {"audio_BS", "samples_B", "targets_LBTW", "mask_BT"}
    assert not unmasked["mask_BT"].any()


def test_masked_teacher_then_masked_frames_are_the_mean_of_the_row() -> None:
    student, teacher = Encoder(small("layer")), Encoder(small("layer")).eval()
    prepare = MaskedBatches(student, teacher, [1], "fp32", MaskedLayersSettings(), seed=0)
    frames = int(student.frames(9000))
    mask_BT = torch.zeros(2, frames, dtype=torch.bool)
    mask_BT[0, 3:9] = True
    with torch.no_grad():
        found = prepare._hear(mask_BT, AUDIO, SAMPLES)
        x_BTD, frames_B = teacher.features(AUDIO, SAMPLES)
        x_BTD[0, 3:9] = x_BTD[0, : frames_B[0]].mean(0)
        expected = teacher.encode(x_BTD, frames_B)
    torch.testing.assert_close(found.hidden, expected.hidden)


def test_start_from_the_teacher_then_its_first_blocks_and_its_shape(tones, small_teacher) -> None:
    trial = SimpleNamespace(teacher=small_teacher, corpus=tones, seed=0)
    settings = FeatureStudent(start="teacher", depth=1)
    teacher = small_teacher.encoder
    student = started_student(trial, settings, TrainingSettings())
    assert student.config == teacher.config.model_copy(update={"blocks": teacher.config.block_list[:1]})
    with torch.no_grad():
        ours, theirs = student.eval()(AUDIO, SAMPLES).hidden, teacher(AUDIO, SAMPLES).hidden[:2]
    torch.testing.assert_close(ours, theirs)


def test_start_from_a_shallower_teacher_then_refused() -> None:
    with pytest.raises(InputError, match=r"student\.depth: 3; expected at most the teacher's 2"):
        student_config(FeatureStudent(start="teacher", depth=3), small())
    with pytest.raises(InputError, match="an encoder without a transformer"):
        student_config(FeatureStudent(), ConvConfig())


def test_shape_of_armhubert_then_that_of_its_document() -> None:
    asked = StudentSettings(
        front_end="waveform-thin", width=432, heads=12, ffn_ratio=816 / 432, blocks_per_map=2, norm="post"
    )
    document = read_config(Path(__file__).parents[3] / "encoders/armhubert-s.yaml")
    assert asked.encoder().model_dump(exclude={"blocks"}) == document.model_dump(exclude={"blocks"})
    assert asked.encoder().block_list == document.block_list
    with pytest.raises(ValueError, match=r"expected a multiple of student\.heads = 5"):
        StudentSettings(width=64, heads=5)
    assert StudentSettings(width=64, heads=5, head_width=7).encoder().block_list[0].head_width == 7


def test_pruning_a_teacher_whose_blocks_share_maps_then_refused() -> None:
    with pytest.raises(InputError, match=r"teacher\.source: blocks that reuse attention maps; expected none"):
        promised(PruningSettings(), thin())


def test_mask_share_then_as_asked() -> None:
    teacher = Encoder(small("layer")).eval()
    prepare = MaskedBatches(teacher, teacher, [1], "fp32", MaskedLayersSettings(mask_prob=0.3, mask_ms=20), seed=0)
    drawn = [prepare(0, replace(batch(), number=number))["mask_BT"][0].float().mean().item() for number in range(20)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.05)
