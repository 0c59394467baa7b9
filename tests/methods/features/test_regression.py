"""Feature distillation: the published loss, frames of other rates, a teacher that stays as it is."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from raysearch.encoder.config import EncoderConfig, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.methods.features.regression import FeatureRegression, TeacherBatches
from raysearch.methods.features.settings import DistillationSettings
from raysearch.methods.settings import StudentSettings

torch.set_num_threads(1)

SHAPE = {"depth": 2, "width": 32, "heads": 2, "channels": 16, "position_kernel": 5}


class Speech(NamedTuple):
    audio_BS: Tensor
    samples_B: Tensor


def encoder(**shape):
    torch.manual_seed(3)
    return Encoder(StudentSettings(**SHAPE | shape).encoder(), dropout=0.1)


def speech():
    torch.manual_seed(0)
    return Speech(torch.randn(2, 16_000), torch.tensor([16_000, 9_000]))


def teacher(**shape):
    return encoder(**shape).eval().requires_grad_(False)


def test_loss_of_one_short_row_then_as_written_out():
    student, target_D = encoder().eval(), torch.randn(1, 1, 2, 8)
    module = FeatureRegression(student, 8, DistillationSettings(layers=[1], l1_weight=2.0, cosine_weight=3.0))
    audio_BS, samples_B = torch.randn(1, 1_200), torch.tensor([1_200])
    loss, metrics = module(audio_BS, samples_B, target_D)
    predicted_TD = module.heads[0](student(audio_BS, samples_B).output_BTD)[0]
    cosines = [torch.dot(p, t) / (p.norm() * t.norm()) for p, t in zip(predicted_TD, target_D[0, 0], strict=True)]
    l1 = (predicted_TD - target_D[0, 0]).abs().mean()
    expected = 2 * l1 + 3 * sum(torch.log(1 + torch.exp(-cosine)) for cosine in cosines) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert metrics["cosine"].item() == pytest.approx(sum(cosines).item() / 2, rel=1e-4)


def test_loss_when_targets_of_padding_change_then_it_does_not():
    student, batch = encoder().eval(), speech()
    module = FeatureRegression(student, 32, DistillationSettings(layers=[1, 2]))
    inputs = TeacherBatches(student, teacher(), [1, 2], "fp32")(0, batch)
    noisy_LBTW = inputs["targets_LBTW"].clone()
    noisy_LBTW[:, 1, student.frames(9_000) :] = 100.0
    assert torch.equal(module(**inputs)[0], module(**inputs | {"targets_LBTW": noisy_LBTW})[0])


def test_every_parameter_then_has_a_gradient():
    student = encoder()
    module = FeatureRegression(student, 32, DistillationSettings(layers=[1, 2]))
    module(**TeacherBatches(student, teacher(), [1, 2], "fp32")(0, speech()))[0].backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("student_rate", "teacher_rate", "picked"),
    [("logmel-25hz", "logmel-50hz", slice(None, None, 2)), ("logmel-50hz", "logmel-25hz", None)],
)
def test_targets_of_another_rate_then_each_frame_has_the_nearest_before(student_rate, teacher_rate, picked):
    student, guide = encoder(front_end=student_rate), teacher(front_end=teacher_rate)
    targets_LBTW = TeacherBatches(student, guide, [-1], "fp32")(0, speech())["targets_LBTW"]
    hidden_BUW = torch.nn.functional.layer_norm(guide(*speech()).hidden[2], (32,))
    expected_BTW = hidden_BUW[:, picked] if picked else hidden_BUW.repeat_interleave(2, 1)
    frames = student.frames(16_000)
    assert targets_LBTW.shape[2] == frames
    assert torch.equal(targets_LBTW[0], expected_BTW[:, :frames])


def test_targets_of_a_group_norm_teacher_then_padding_changes_nothing():
    front_end = Waveform(channels=[8] * 7)
    config = EncoderConfig(front_end=front_end, **encoder().config.model_dump(exclude={"front_end"}))
    torch.manual_seed(0)
    guide = Encoder(config).eval()
    student, batch = encoder(front_end="logmel-50hz"), speech()
    alone = Speech(batch.audio_BS[1:, :9_000], batch.samples_B[1:])
    prepare = TeacherBatches(student, guide, [1, 2], "fp32")
    together_LTW = prepare(0, batch)["targets_LBTW"][:, 1, : student.frames(9_000)]
    assert torch.allclose(together_LTW, prepare(0, alone)["targets_LBTW"][:, 0], atol=1e-5)


def test_targets_twice_then_the_same_and_the_teacher_has_no_gradient():
    student, guide = encoder(), teacher()
    prepare = TeacherBatches(student, guide, [1, 2], "fp32")
    one, two = prepare(0, speech())["targets_LBTW"], prepare(1, speech())["targets_LBTW"]
    assert torch.equal(one, two)
    assert not one.requires_grad
