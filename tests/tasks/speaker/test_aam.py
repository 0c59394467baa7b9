"""Against the definition in float64, angles and all."""

import math

import pytest
import torch
from torch.nn import functional as F

from raysearch.tasks.settings import AamSettings
from raysearch.tasks.speaker.aam import AamSoftmax, less_margin, with_margin


def by_angles(embedding, weight, speakers, margin, scale):
    cosine = F.normalize(embedding.double()) @ F.normalize(weight.double()).T
    angle = torch.acos(cosine)
    turned = torch.where(angle <= math.pi - margin, torch.cos(angle + margin), cosine - margin * math.sin(margin))
    own = F.one_hot(speakers, len(weight)).bool()
    return F.cross_entropy(scale * torch.where(own, turned, cosine), speakers, reduction="none")


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.4])
def test_loss_is_that_of_the_angles(margin):
    torch.manual_seed(0)
    aam = AamSoftmax(7, 5, scale=30.0)
    embedding, speakers = torch.randn(64, 5), torch.randint(7, (64,))
    # Two that lie on and opposite their speaker.
    embedding[0], embedding[1] = 3 * aam.weight_SE[speakers[0]].detach(), -aam.weight_SE[speakers[1]].detach()
    with torch.no_grad():
        loss, right = aam(embedding, speakers, margin)
        expected = by_angles(embedding, aam.weight_SE, speakers, margin, 30.0)
    # Near cosines of 1 float32 knows the sine to 3e-4 only; the scale is 30.
    assert loss.double().numpy() == pytest.approx(expected.numpy(), abs=5e-3)
    assert loss[2:].double().numpy() == pytest.approx(expected[2:].numpy(), rel=1e-4, abs=1e-4)
    assert right[0] == 1
    assert right[1] == 0


def test_loss_with_a_margin_of_cosines_is_cross_entropy_with_that_much_less_for_the_own_speaker():
    torch.manual_seed(0)
    am = AamSoftmax(7, 5, scale=30.0, margin=less_margin)
    embedding, speakers = torch.randn(64, 5), torch.randint(7, (64,))
    cosine = F.normalize(embedding.double()) @ F.normalize(am.weight_SE.detach().double()).T
    expected = F.cross_entropy(30 * (cosine - 0.4 * F.one_hot(speakers, 7)), speakers, reduction="none")
    torch.testing.assert_close(am(embedding, speakers, 0.4)[0].double(), expected, rtol=1e-4, atol=1e-4)


def test_margin_falls_from_angle_zero_to_pi():
    cosine = torch.cos(torch.linspace(0, math.pi, 500, dtype=torch.float64))
    for margin in (0.1, 0.5):
        assert (with_margin(cosine, margin).diff() < 0).all()


def test_gradient_is_finite_on_and_opposite_the_speaker():
    aam = AamSoftmax(3, 4, scale=30.0)
    embedding = torch.stack([aam.weight_SE[0], -aam.weight_SE[0]]).detach().requires_grad_()
    aam(embedding, torch.tensor([0, 0]), 0.3)[0].sum().backward()
    assert torch.isfinite(embedding.grad).all()
    assert torch.isfinite(aam.weight_SE.grad).all()


def test_margin_rises_over_its_warmup():
    settings = AamSettings(margin=0.2, margin_warmup=0.25)
    assert [settings.margin_at(share) for share in (0, 0.125, 0.25, 1)] == pytest.approx([0, 0.1, 0.2, 0.2])
    assert AamSettings(margin=0.2, margin_warmup=0).margin_at(0) == 0.2
