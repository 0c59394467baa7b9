"""Which loss reaches which weight, and that one pass over both routes is two passes over one each."""

import pytest
import torch

from raysearch.encoder.config import Blocks, ConvConfig, EncoderConfig, LogMel, Waveform
from raysearch.encoder.cost import macs_superb, params
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.methods.speaker.inheritance import inherited_config, inherited_student
from raysearch.methods.speaker.settings import AdapterSettings, InheritedSettings
from raysearch.methods.speaker.steps import TwoSteps
from raysearch.methods.speaker.verification import is_adapter
from tests.methods.speaker.speaker_module import made, settings_of, steps_of, stir

DETACHED = {"reach": "detach"}


def gradients(module, loss):
    """Largest gradient of each parameter; none is zero."""
    found = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    names = [name for name, _ in module.named_parameters()]
    return {name: 0.0 if grad is None else grad.abs().max().item() for name, grad in zip(names, found, strict=True)}


def parts(module, inputs):
    """Both losses, with their graphs, as the module has them."""
    plain, adapted = module._routes(inputs["audio_BS"], inputs["samples_B"], True, True, module.steps.at(0).detached)
    kd = (plain.output_BTD - inputs["targets_BTD"]).square().mean()
    return kd, module.aam(module.backend(adapted), inputs["speakers_B"], 0.1)[0].mean()


def test_new_adapters_leave_both_routes_bitwise_equal(tones, small_teacher):
    module, inputs = made(tones, small_teacher)
    plain, adapted = module.student.routes(inputs(0)["audio_BS"], inputs(0)["samples_B"])
    assert torch.equal(plain.output_BTD, adapted.output_BTD)
    stir(module)
    plain, adapted = module.student.routes(inputs(0)["audio_BS"], inputs(0)["samples_B"])
    assert not torch.allclose(plain.output_BTD, adapted.output_BTD, atol=1e-2)


def test_student_that_keeps_all_starts_as_its_teacher(tones, small_teacher):
    module, inputs = made(tones, small_teacher)
    given = inputs(0)
    module.eval()
    encoded = module.student(given["audio_BS"], given["samples_B"])
    taught = small_teacher.encoder(given["audio_BS"], given["samples_B"])
    assert torch.equal(encoded.output_BTD, taught.output_BTD)


@pytest.mark.parametrize("training", [False, True])
def test_joint_batch_is_two_separate_passes(tones, small_teacher, training):
    module, inputs = made(tones, small_teacher)
    stir(module)
    module.student.train(training)
    given = inputs(0)
    plain, adapted = module.student.routes(given["audio_BS"], given["samples_B"])
    features = module.student.features(given["audio_BS"], given["samples_B"])
    alone = module.student.encode(*features, plain=len(given["audio_BS"]))
    with_adapters = module.student(given["audio_BS"], given["samples_B"])
    for joint, single in ((plain, alone), (adapted, with_adapters)):
        torch.testing.assert_close(joint.output_BTD, single.output_BTD, atol=1e-6, rtol=1e-5)
        for one, other in zip(joint.hidden, single.hidden, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_imitation_has_no_gradient_in_adapters_and_back_end(tones, small_teacher):
    module, inputs = made(tones, small_teacher)
    stir(module)
    found = gradients(module, parts(module, inputs(0))[0])
    for name, gradient in found.items():
        assert (gradient == 0.0) == (is_adapter(name) or not name.startswith("student.")), name


@pytest.mark.parametrize("reach", ["shared", "detach"])
def test_verification_reaches_shared_weights_unless_it_is_detached(tones, small_teacher, reach):
    module, inputs = made(tones, small_teacher, settings_of(verification={"reach": reach}))
    stir(module)
    found = gradients(module, parts(module, inputs(0))[1])
    for name, gradient in found.items():
        if is_adapter(name) or not name.startswith("student."):
            # A bias in front of a BatchNorm has no effect, and a gradient of rounding only.
            assert gradient > 0 or name.endswith(".bias"), name
        else:
            assert (gradient == 0.0) == (reach == "detach"), name


def test_detached_loss_is_the_shared_one(tones, small_teacher):
    losses = []
    for reach in ("shared", "detach"):
        module, inputs = made(tones, small_teacher, settings_of(verification={"reach": reach}))
        stir(module)
        torch.manual_seed(0)
        losses.append(module(**inputs(0))[0].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_imitation_is_unchanged_by_updates_of_adapters_and_back_end(tones, small_teacher):
    module, inputs = made(tones, small_teacher, settings_of(verification=DETACHED))
    given = inputs(0)
    before = module.student.encode(*module.student.features(given["audio_BS"], given["samples_B"]), plain=4).output_BTD
    own = [p for name, p in module.named_parameters() if is_adapter(name) or not name.startswith("student.")]
    optimiser = torch.optim.Adam(own, lr=1e-2)
    for step in range(3):
        optimiser.zero_grad()
        module(**inputs(step))[0].backward()
        optimiser.step()
    assert any(block.adapter.up.weight.abs().max() > 0 for block in module.student.blocks)
    after = module.student.encode(*module.student.features(given["audio_BS"], given["samples_B"]), plain=4).output_BTD
    assert torch.equal(before, after)


def test_every_parameter_has_a_gradient_in_each_phase(tones, small_teacher):
    settings = settings_of()
    module, inputs = made(tones, small_teacher, settings)
    module.steps = TwoSteps(10, 5, 2.0, settings.distillation, settings.verification, settings.training)
    for step in (0, 7):
        module.zero_grad()
        given = {**inputs(0), "step": step}
        module(**given)[0].backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
    module.zero_grad()
    module(**{**inputs(0), "step": 0})[0].backward()
    assert not any(parameter.grad.any() for parameter in (*module.backend.parameters(), *module.aam.parameters()))


def test_teacher_hears_clean_speech_and_student_disturbed(tones, small_teacher):
    settings = settings_of(augmentation={"prob": 1.0, "kinds": ["noise"], "snr_db": [0.0, 0.0]})
    _, inputs = made(tones, small_teacher, settings)
    disturbed = inputs(0)
    _, clean = made(tones, small_teacher, settings_of(augmentation={"prob": 0.0}))
    assert torch.equal(disturbed["targets_BTD"], clean(0)["targets_BTD"])
    assert not torch.equal(disturbed["audio_BS"], clean(0)["audio_BS"])


def test_teacher_hears_the_speed_that_the_student_hears(tones, small_teacher):
    _, inputs = made(tones, small_teacher, settings_of(augmentation={"prob": 1.0, "kinds": ["speed"]}))
    found = inputs(0)
    heard = small_teacher.encoder(found["audio_BS"], found["samples_B"]).output_BTD
    assert torch.equal(found["targets_BTD"], heard)
    _, as_spoken = made(tones, small_teacher, settings_of(augmentation={"prob": 0.0}))
    assert not torch.equal(found["targets_BTD"], as_spoken(0)["targets_BTD"])


def test_speeds_have_classes_of_their_own(tones, small_teacher):
    module, _ = made(tones, small_teacher, settings_of(augmentation={"kinds": ["noise", "speed"]}))
    plain, _ = made(tones, small_teacher)
    assert len(module.aam.weight_SE) == 3 * len(plain.aam.weight_SE)


def test_class_weights_weigh_each_crop_of_a_batch(tones, small_teacher):
    module, _ = made(tones, small_teacher, settings_of(verification={"class_weights": True}))
    assert module.aam.balance_S is not None
    assert not any("balance" in name for name in module.state_dict())
    weight_S = torch.arange(1.0, 1.0 + len(module.aam.weight_SE))
    embedding_BE, speakers_B = torch.randn(4, 8), torch.tensor([0, 1, 1, 0])
    module.aam.balance_S = None
    plain_B, _ = module.aam(embedding_BE, speakers_B, 0.1)
    module.aam.balance_S = weight_S
    torch.testing.assert_close(module.aam(embedding_BE, speakers_B, 0.1)[0], plain_B * weight_S[speakers_B])


def test_masks_hide_features_from_both_routes_and_only_while_training_asks_for_them(tones, small_teacher):
    masked, inputs = made(tones, small_teacher, settings_of(training={"crop_s": 0.5, "mask_time": 0.5}))
    plain, _ = made(tones, small_teacher, settings_of(training={"crop_s": 0.5}))
    given = inputs(0)
    torch.manual_seed(0)
    (_, found), (_, expected) = masked(**given), plain(**given)
    assert found["kd"] > expected["kd"] + 1e-3
    one, other = (module.student(given["audio_BS"], given["samples_B"]).output_BTD for module in (masked, plain))
    assert torch.equal(one, other)


def test_rates_follow_the_paper():
    settings = settings_of(
        distillation={"weight": 100.0, "lr_warmup": 0.1, "lr_decay": 0.93}, training={"lr": 1e-4, "floor": 0.01}
    )
    steps = steps_of(settings, updates=100)
    assert steps.at(0).kd_weight == 100
    assert steps.at(99).kd_weight == pytest.approx(1.0)
    assert steps.backend_rate(0) == 1.0
    assert steps.backend_rate(99) == pytest.approx(0.01, abs=1e-3)
    assert steps.shared_rate(4) == pytest.approx(5 / 11)
    assert steps.shared_rate(30) == pytest.approx(0.93**20)


@pytest.mark.parametrize(
    ("schedule", "weights"), [("constant", [1, 1, 1]), ("cosine", [1, 0.5, 0.25]), ("cut", [1, 0, 0])]
)
def test_imitation_falls_as_its_schedule_says(schedule, weights):
    steps = steps_of(settings_of(distillation={"weight": 1.0, "schedule": schedule}), updates=6)
    assert [steps.at(step).kd_weight for step in (0, 3, 4)] == pytest.approx(weights)


def test_detach_after_detaches_after():
    steps = steps_of(settings_of(verification={"reach": "detach-after", "detach_after": 0.5}), updates=4)
    assert [steps.at(step).detached for step in range(4)] == [False, False, True, True]


TEACHERS = {
    "logmel": EncoderConfig(
        front_end=LogMel(channels=[8, 12]), width=16, norm="pre", blocks=Blocks(count=4, heads=4, head_width=4, ffn=24)
    ),
    "waveform": EncoderConfig(
        front_end=Waveform(channels=[8] * 7, norm="layer", bias=True),
        width=16,
        norm="post",
        blocks=Blocks(count=4, heads=4, head_width=4, ffn=24),
    ),
    "base": EncoderConfig(
        front_end=Waveform(channels=[8] * 7), width=16, blocks=Blocks(count=4, heads=4, head_width=4, ffn=24)
    ),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_inherited_student_has_the_shape_and_blocks_that_were_promised(name):
    torch.manual_seed(0)
    teacher = Encoder(TEACHERS[name])
    kept = InheritedSettings(blocks=2, which="spread", channels_ratio=0.5, heads_ratio=0.5, ffn_ratio=0.25)
    student = inherited_student(teacher, kept, AdapterSettings(width=3), dropout=0.0)
    config = inherited_config(teacher.config, kept, AdapterSettings(width=3))
    assert student.config == config
    assert params(config) == sum(p.numel() for p in student.parameters())
    assert [(b.heads, b.ffn, b.adapter.width) for b in config.block_list] == [(2, 6, 3)] * 2
    assert macs_superb(config) < macs_superb(teacher.config) / 2
    assert torch.equal(student.blocks[1].ffn_norm.weight, teacher.blocks[2].ffn_norm.weight)
    assert torch.equal(student.position_conv.conv.bias, teacher.position_conv.conv.bias)
    rows = {tuple(row) for row in teacher.blocks[2].ffn.up.weight.tolist()}
    assert all(tuple(row) in rows for row in student.blocks[1].ffn.up.weight.tolist())


def test_more_blocks_than_the_teacher_has_are_refused():
    with pytest.raises(InputError, match=r"student\.blocks: 5; expected at most the teacher's 4"):
        inherited_config(TEACHERS["base"], InheritedSettings(blocks=5), AdapterSettings())


def test_teacher_without_a_transformer_is_refused():
    with pytest.raises(
        InputError, match=r"teacher\.source: an encoder without a transformer; expected one with blocks"
    ):
        inherited_config(ConvConfig(channels=[4]), InheritedSettings(), AdapterSettings())
