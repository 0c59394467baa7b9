"""Masked prediction: which frames count, the cosine head's score, gradients."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.prediction import PADDING, CosineHead, MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.methods.settings import StudentSettings
from raysearch.targets.settings import OtherTargets

torch.set_num_threads(1)

CONFIG = StudentSettings(depth=2, width=32, heads=2, channels=16, position_kernel=5).encoder()
LABELS = 7
SAMPLES_B = torch.tensor([16_000, 9_000])


def prediction(more=(), **settings):
    torch.manual_seed(0)
    return MaskedPrediction(Encoder(CONFIG), LABELS, PredictionSettings(**settings), more)


def inputs():
    torch.manual_seed(1)
    frames = [Encoder(CONFIG).frames(int(samples)) for samples in SAMPLES_B]
    labels_BT = torch.randint(LABELS, (2, max(frames)))
    labels_BT[1, frames[1] :] = PADDING
    mask_BT = torch.zeros(2, max(frames), dtype=torch.bool)
    mask_BT[:, 3:7] = True
    audio_BS = torch.randn(2, 16_000)
    return {"audio_BS": audio_BS, "samples_B": SAMPLES_B, "labels_BT": labels_BT, "mask_BT": mask_BT}


def nce(head, x_ND, labels_N):
    """The published form: similarity of each frame to its own code, first, then to all others."""
    losses = []
    for x_D, label in zip(head.project(x_ND), labels_N.tolist(), strict=True):
        others = [code for code in range(LABELS) if code != label]
        codes_KP = head.codes_KP[[label, *others]]
        scores_K = cosine_similarity(x_D[None], codes_KP) / head.temperature
        losses.append(torch.logsumexp(scores_K, 0) - scores_K[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("channels", [32, 512])
def test_mask_at_the_start_then_as_loud_as_the_features_that_it_stands_for(channels):
    torch.manual_seed(0)
    config = StudentSettings(depth=1, width=256, heads=2, channels=channels, position_kernel=5).encoder()
    module = MaskedPrediction(Encoder(config), LABELS, PredictionSettings())
    features_BTD, _ = module.student.features(torch.randn(1, 32_000), torch.tensor([32_000]))
    loudness, mask = (x.square().mean().sqrt().item() for x in (features_BTD, module.mask_D))
    # The mask is one draw of 256 numbers, so it is known to 3 %; few channels make features of few numbers.
    assert loudness == pytest.approx(mask, rel=0.2)


def test_cosine_loss_then_equals_the_gathered_nce_with_its_gradients():
    module, batch = prediction(head="cosine"), inputs()
    loss, metrics = module(**batch)
    own = torch.autograd.grad(loss, module.heads[0].codes_KP, retain_graph=True)[0]
    x_BTD, frames_B = module.student.features(batch["audio_BS"], batch["samples_B"])
    x_BTD = torch.where(batch["mask_BT"][..., None], module.mask_D, x_BTD)
    output_BTD = module.student.encode(x_BTD, frames_B).output_BTD
    expected = nce(module.heads[0], output_BTD[batch["mask_BT"]], batch["labels_BT"][batch["mask_BT"]])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(own, torch.autograd.grad(expected, module.heads[0].codes_KP)[0], atol=1e-5)
    best_N = module.heads[0](output_BTD[batch["mask_BT"]]).argmax(-1)
    assert metrics["accuracy"].item() == pytest.approx(
        np.mean((best_N == batch["labels_BT"][batch["mask_BT"]]).numpy())
    )


def test_loss_when_unmasked_labels_change_then_it_does_not():
    module, batch = prediction(unmasked_weight=0.0), inputs()
    other = batch["labels_BT"].clone()
    seen_BT = ~batch["mask_BT"] & (other != PADDING)
    other[seen_BT] = (other[seen_BT] + 1) % LABELS
    assert torch.equal(module(**batch)[0], module(**batch | {"labels_BT": other})[0])
    weighted = prediction(unmasked_weight=0.5)
    assert not torch.equal(weighted(**batch)[0], weighted(**batch | {"labels_BT": other})[0])


def test_loss_when_masked_audio_is_hidden_then_its_features_do_not_matter():
    module, batch = prediction(), inputs()
    batch["mask_BT"][:] = True
    silence = batch | {"audio_BS": torch.zeros(2, 16_000)}
    assert torch.allclose(module(**batch)[0], module(**silence)[0])


def test_loss_with_unmasked_weight_then_means_over_each_kind_add_up():
    masked, both, batch = prediction(), prediction(unmasked_weight=0.5), inputs()
    logits = {}
    both.heads[0].register_forward_hook(lambda head, x, y: logits.update(out=y))
    loss = both(**batch)[0]
    nll_BT = -logits["out"].log_softmax(-1).gather(2, batch["labels_BT"].clamp(min=0)[..., None])[..., 0]
    seen_BT = ~batch["mask_BT"] & (batch["labels_BT"] != PADDING)
    expected = masked(**batch)[0] + 0.5 * nll_BT[seen_BT].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_without_masking_then_all_real_frames_count_and_padding_does_not():
    module, batch = prediction(mask_prob=0.0, head="linear"), inputs()
    batch["mask_BT"][:] = False
    logits = {}
    module.heads[0].register_forward_hook(lambda head, x, y: logits.update(out=y))
    loss = module(**batch)[0]
    real_BT = batch["labels_BT"] != PADDING
    log_probs_NK = logits["out"][real_BT].log_softmax(-1)
    expected = -log_probs_NK[torch.arange(len(log_probs_NK)), batch["labels_BT"][real_BT]].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("head", ["cosine", "linear"])
@pytest.mark.parametrize("mask_prob", [0.0, 0.8])
@pytest.mark.parametrize("layers", [[-1], [1, -1]])
def test_every_parameter_then_has_a_gradient(head, mask_prob, layers):
    module = prediction(head=head, mask_prob=mask_prob, layers=layers)
    module(**inputs())[0].backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("settings", [{}, {"layers": [1, -1], "unmasked_weight": 0.5, "head": "linear"}])
def test_several_label_sets_then_the_loss_is_their_mean_by_weight(settings):
    more = [OtherTargets(clusters=5, weight=3.0)]
    joint, batch = prediction(more, **settings), inputs()
    other_BT = torch.where(batch["labels_BT"] == PADDING, PADDING, batch["labels_BT"] % 5)
    loss, metrics = joint(**batch, more_GBT=other_BT[None])
    found = []
    for heads, labels_BT in ((joint.heads, batch["labels_BT"]), (joint.more_heads[0], other_BT)):
        alone = prediction(**settings)
        alone.student, alone.mask_D, alone.heads = joint.student, joint.mask_D, heads
        found.append(alone(**{**batch, "labels_BT": labels_BT}))
    (first, one), (second, two) = found
    assert first.item() != pytest.approx(second.item(), rel=1e-3)
    assert loss.item() == pytest.approx((first.item() + 3 * second.item()) / 4, rel=1e-5)
    assert metrics["accuracy"].item() == pytest.approx((one["accuracy"].item() + 3 * two["accuracy"].item()) / 4)
    loss.backward()
    assert [name for name, parameter in joint.named_parameters() if parameter.grad is None] == []


def test_soft_labels_then_the_loss_is_the_mean_by_their_shares():
    module, batch = prediction(), inputs()
    other_BT = torch.where(batch["labels_BT"] == PADDING, PADDING, (batch["labels_BT"] + 1) % LABELS)
    near_BTM = torch.stack([batch["labels_BT"], other_BT], dim=-1).clamp(min=0)
    share_BTM = (batch["labels_BT"] != PADDING)[..., None] * torch.tensor([0.75, 0.25])
    loss, metrics = module(**batch, near_GBTM=near_BTM[None], share_GBTM=share_BTM[None])
    hard, accuracy = module(**batch)
    expected = 0.75 * hard + 0.25 * module(**{**batch, "labels_BT": other_BT})[0]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.item() != pytest.approx(hard.item(), rel=1e-3)
    assert metrics["accuracy"] == accuracy["accuracy"]


def test_cosine_head_then_scores_lie_within_the_temperature():
    head = CosineHead(8, LABELS, 0.1)
    assert head(torch.randn(2, 3, 8)).abs().max() <= 10.001
