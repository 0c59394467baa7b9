"""Unit counts that cost what was asked, and the cost that is promised before anything is trained."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raysearch.encoder.config import Blocks, EncoderConfig, Waveform, Whisper
from raysearch.encoder.cost import macs_superb, param_parts, params, sized, sizes_of
from raysearch.encoder.gates import GateSet
from raysearch.errors import InputError
from raysearch.methods.pruning.budget import _neighbours, budgets, promised, start_config
from raysearch.methods.pruning.lagrangian import settle
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.methods.settings import StudentSettings

BASE = EncoderConfig(front_end=Waveform(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))
SMALL = StudentSettings(depth=6, width=256, heads=4, channels=256, position_kernel=15).encoder()
EVERY = ["channels", "heads", "ffn", "attention_layers", "ffn_layers"]

WHISPER = EncoderConfig(
    front_end=Whisper(channels=[512, 512]),
    width=512,
    norm="pre",
    position_conv=None,
    sinusoids=1500,
    key_bias=False,
    blocks=Blocks(count=6, heads=8, head_width=64, ffn=2048),
)

teachers = pytest.mark.parametrize(
    "teacher", [pytest.param(BASE, id="base"), pytest.param(SMALL, id="small"), pytest.param(WHISPER, id="whisper")]
)


@teachers
@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
def test_scaled_then_its_macs_are_the_target(teacher, ratio):
    student = promised(PruningSettings(macs_ratio=ratio), teacher)
    assert macs_superb(student) == pytest.approx(ratio * macs_superb(teacher), rel=0.01)
    # A config that is written and read again is checked: Whisper's last convolution is as wide as its blocks.
    assert EncoderConfig.model_validate(student.model_dump()) == student


def test_rates_do_not_shape_a_student_and_it_is_worked_out_once():
    one, other = (PruningSettings(gate_lr=rate, share=rate) for rate in (0.1, 0.2))
    assert promised(one, SMALL) is promised(other, SMALL)
    for changed in ({"macs_ratio": 0.4}, {"units": ["heads", "ffn"]}, {"multiple": 64}, {"target": "size"}):
        assert promised(one.model_copy(update=changed), SMALL) != promised(one, SMALL)


def test_blocks_alike_are_asked_once_for_what_a_change_of_them_costs():
    asked = []
    for count in (2, 12):
        teacher = BASE.model_copy(update={"blocks": BASE.blocks.model_copy(update={"count": count})})
        settings, full = PruningSettings(macs_ratio=0.9, units=["heads", "ffn"]), sizes_of(teacher)
        (budget,) = budgets(settings, teacher, teacher)
        asked.append(len(_neighbours(budget, full._replace(heads=[6] * count, ffn=[1000] * count), full)))
    assert asked == [5, 5], "as they are, a head fewer or more, an FFN unit fewer or more"


@teachers
@examples(max_examples=15, deadline=None)
@given(ratio=st.floats(0.1, 0.9), mean=st.floats(-5, 5), std=st.floats(0.01, 3), whole=st.booleans())
def test_settled_gates_of_any_kind_then_macs_within_one_percent(teacher, ratio, mean, std, whole):
    settings = PruningSettings(macs_ratio=ratio, units=EVERY if whole else EVERY[:3])
    torch.manual_seed(0)
    gates = GateSet(teacher, settings.units)
    for log_alpha_U in gates.parameters():
        torch.nn.init.normal_(log_alpha_U, mean, std)
    student = sized(teacher, settle(gates, budgets(settings, teacher, teacher)).sizes)
    assert macs_superb(student) == pytest.approx(ratio * macs_superb(teacher), rel=0.01)


@teachers
def test_settled_separate_sizes_then_both_are_met(teacher):
    settings = PruningSettings(target="separate-sizes", front_end_ratio=0.4, transformer_ratio=0.3)
    kept = settle(GateSet(teacher), budgets(settings, teacher, teacher))
    before, after = param_parts(teacher), param_parts(sized(teacher, kept.sizes))
    assert after["front_end"] == pytest.approx(0.4 * before["front_end"], rel=0.01)
    rest = params(teacher) - before["front_end"], params(sized(teacher, kept.sizes)) - after["front_end"]
    assert rest[1] == pytest.approx(0.3 * rest[0], rel=0.01)


@teachers
@examples(max_examples=8, deadline=None)
@given(ratio=st.floats(0.2, 0.9), multiple=st.sampled_from([8, 16]), seed=st.integers(0, 9))
def test_settled_in_multiples_then_so_many_are_left_at_the_same_macs(teacher, ratio, multiple, seed):
    settings = PruningSettings(macs_ratio=ratio, multiple=multiple)
    torch.manual_seed(seed)
    gates = GateSet(teacher)
    for log_alpha_U in gates.parameters():
        torch.nn.init.normal_(log_alpha_U, 0.0, 2.0)
    kept = settle(gates, budgets(settings, teacher, teacher))
    assert all(count % multiple == 0 for count in [*kept.sizes.channels, *kept.sizes.ffn])
    assert min(kept.sizes.channels) > 0
    for student in (sized(teacher, kept.sizes), promised(settings, teacher)):
        assert macs_superb(student) == pytest.approx(ratio * macs_superb(teacher), rel=0.01)


def test_multiple_too_coarse_for_the_target_is_refused():
    with pytest.raises(InputError, match=r"pruning.macs_ratio: 0.6; .*nearest is 0.\d+.*: lower pruning.multiple"):
        promised(PruningSettings(macs_ratio=0.6, multiple=256, units=["ffn"]), SMALL)


def test_ratio_of_one_then_the_teacher():
    assert macs_superb(promised(PruningSettings(macs_ratio=1.0), SMALL)) == macs_superb(SMALL)


def test_units_in_one_word_then_the_transformer_only():
    settings = PruningSettings(macs_ratio=0.5, units="heads+ffn")
    assert settings.units == ["heads", "ffn"]
    student = promised(settings, SMALL)
    assert student.front_end == SMALL.front_end
    assert macs_superb(student) == pytest.approx(0.5 * macs_superb(SMALL), rel=0.01)


@pytest.fixture
def half(tmp_path):
    """The folder of a trial that has left half of the MACs."""
    (tmp_path / "student").mkdir()
    student = promised(PruningSettings(macs_ratio=0.5), SMALL)
    (tmp_path / "student/config.json").write_text(student.model_dump_json())
    return str(tmp_path)


def test_continued_then_still_a_share_of_the_teacher_and_no_layer_grows(half):
    settings = PruningSettings(macs_ratio=0.4, continue_from=half)
    start = start_config(settings, SMALL)
    student = promised(settings, SMALL)
    assert macs_superb(student) == pytest.approx(0.4 * macs_superb(SMALL), rel=0.01)
    for unit in ("channels", "heads", "ffn"):
        pairs = zip(getattr(sizes_of(student), unit), getattr(sizes_of(start), unit), strict=True)
        assert all(after <= before for after, before in pairs)


def test_continued_above_what_is_left_is_refused(half):
    with pytest.raises(InputError, match=r"pruning.macs_ratio: 0.6; expected at most 0.500, which .*continue_from"):
        promised(PruningSettings(macs_ratio=0.6, continue_from=half), SMALL)


def test_continued_from_another_teacher_or_from_nowhere_is_refused(half, tmp_path):
    with pytest.raises(InputError, match=r"pruning.continue_from: .*; expected a pruning trial of this teacher"):
        promised(PruningSettings(macs_ratio=0.4, continue_from=half), BASE)
    with pytest.raises(InputError, match=r"none/student/config.json: .*; expected an encoder document"):
        promised(PruningSettings(macs_ratio=0.4, continue_from=str(tmp_path / "none")), SMALL)
    with pytest.raises(ValueError, match="trials/0003; expected an absolute path"):
        PruningSettings(continue_from="trials/0003")


def test_settled_size_then_met():
    settings = PruningSettings(target="size", size_ratio=0.25)
    student = sized(BASE, settle(GateSet(BASE), budgets(settings, BASE, BASE)).sizes)
    assert params(student) == pytest.approx(0.25 * params(BASE), rel=0.001)


def test_target_below_what_has_no_gates_is_refused():
    with pytest.raises(InputError, match=r"pruning.size_ratio: 0.02; expected at least 0.05\d, which"):
        budgets(PruningSettings(target="size", size_ratio=0.02), BASE, BASE)


def test_units_too_coarse_for_a_target_are_refused():
    with pytest.raises(ValueError, match="expected ffn among them"):
        PruningSettings(units=["heads"])


@pytest.mark.parametrize(("given", "rate"), [("equal", 0.02), ("published", 0.5), (0.3, 0.3)])
def test_start_of_ffn_gates_by_name_or_number(given, rate):
    assert PruningSettings(drop=0.02, ffn_drop=given).ffn_rate == rate


@pytest.mark.parametrize("given", ["half", 1.0])
def test_start_of_ffn_gates_that_is_neither_is_refused(given):
    with pytest.raises(ValueError, match=f"{given}; expected equal, published or a number between 0 and 1"):
        PruningSettings(ffn_drop=given)
