"""The Lagrangian alone reaches its target; a trial stopped in the ramp goes on as if it had not been."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import Waveform
from raysearch.encoder.cost import macs_superb, sized, sizes_of
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet
from raysearch.methods.pruning.budget import budgets
from raysearch.methods.pruning.hjpruning import DPHubert, HJPruning
from raysearch.methods.pruning.lagrangian import Lagrangian, even_steps, gate_group, settle
from raysearch.methods.pruning.matching import LayerMatching
from raysearch.methods.pruning.settings import MatchingSettings, PruningSettings
from raysearch.methods.settings import StudentSettings
from raysearch.methods.trial import Trial
from raysearch.tasks.learner import EncoderUnderHead
from raysearch.training.checkpoint import load_weights
from raysearch.training.monitoring.meter import TIMINGS
from raysearch.training.recipe import not_evaluated

torch.set_num_threads(1)

SMALL = StudentSettings(depth=3, width=64, heads=4, channels=64, position_kernel=15).encoder()


def solve(settings: PruningSettings, updates: int, toy_weight: float = 1.0) -> tuple[float, GateSet]:
    """The gap after `updates` of a toy loss that wants all gates open, some more than others."""
    torch.manual_seed(0)
    gates = GateSet(SMALL, settings.units, settings.drop, settings.ffn_rate, settings.temperature)
    even_steps(gates)
    ramp = round(settings.ramp * updates)
    lagrangian = Lagrangian(budgets(settings, SMALL, SMALL), ramp, settings.multiplier_lr, settings.stiffness)
    group = gate_group(settings, updates)
    optimiser = torch.optim.AdamW(gates.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)
    for step in range(updates):
        optimiser.param_groups[0]["lr"] = group.lr * group.schedule(step)
        channels, heads, ffn, *_ = gates.sample()
        layers = channels + heads + ffn
        toy = sum((torch.linspace(0, 2, len(z_U)) * (1 - z_U).square()).mean() for z_U in layers)
        penalty, _ = lagrangian(gates.expected(), step)
        optimiser.zero_grad()
        (toy_weight * toy / len(layers) + penalty).backward()
        nn.utils.clip_grad_norm_(gates.parameters(), group.clip)
        optimiser.step()
    with torch.no_grad():
        found = lagrangian.eval()(gates.expected(), updates)[1]
    return max((gap.item() for name, gap in found.items() if name.endswith("sparsity_gap")), key=abs), gates


STARTS = {"published": {"ffn_drop": "published"}, "equal": {}, "half": {"drop": 0.5}, "closed": {"drop": 0.9}}


def within_half_a_point(sparsity: float, start: str) -> None:
    gap, _ = solve(PruningSettings(macs_ratio=1 - sparsity, **STARTS[start]), updates=400)
    assert abs(gap) < 0.005


@pytest.mark.parametrize(
    ("sparsity", "start"), [(0.1, "closed"), (0.1, "published"), (0.5, "half"), (0.9, "equal"), (0.9, "published")]
)
def test_solver_alone_then_within_half_a_point_of_its_target(sparsity, start):
    within_half_a_point(sparsity, start)


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_solver_alone_of_any_target_from_any_start_then_within_half_a_point(tenths, start):
    within_half_a_point(tenths / 10, start)


@pytest.mark.parametrize(
    "settings",
    [
        PruningSettings(target="size", size_ratio=0.4),
        PruningSettings(target="separate-sizes", front_end_ratio=0.3, transformer_ratio=0.6),
        PruningSettings(macs_ratio=0.6, units="heads+ffn"),
        PruningSettings(macs_ratio=0.4, units="channels+heads+ffn+attention_layers+ffn_layers"),
    ],
    ids=["size", "separate-sizes", "transformer-only", "with-sub-layers"],
)
def test_solver_alone_of_every_kind_of_target_then_within_half_a_point(settings):
    gap, _ = solve(settings, updates=400)
    assert abs(gap) < 0.005


@pytest.mark.parametrize(("updates", "ratio"), [(150, 0.5), (400, 0.5), (400, 0.3)])
def test_gates_without_a_loss_then_every_family_expects_to_keep_the_same_share(updates, ratio):
    _, gates = solve(PruningSettings(macs_ratio=ratio, ramp=0.3), updates, toy_weight=0.0)
    with torch.no_grad():
        shares = [float(sum(left) / sum(full)) for left, full in zip(gates.expected(), gates.full, strict=True)]
    # Few updates leave gates on their way.
    assert max(shares) - min(shares) < (0.1 if updates == 150 else 0.03)


def test_gates_without_a_loss_from_the_published_start_then_ffn_units_go_first():
    settings = PruningSettings(macs_ratio=0.5, ramp=0.3, ffn_drop="published")
    _, gates = solve(settings, 150, toy_weight=0.0)
    kept, full = settle(gates, budgets(settings, SMALL, SMALL)).sizes, gates.full
    assert sum(kept.ffn) / sum(full.ffn) < 0.3 < 0.5 < sum(kept.channels) / sum(full.channels)


def test_solver_alone_then_in_every_layer_the_wanted_units_are_likelier():
    _, gates = solve(PruningSettings(macs_ratio=0.5), updates=400)
    for log_alpha_U in gates.parameters():
        wanted_U = torch.arange(len(log_alpha_U), dtype=torch.float)
        assert torch.corrcoef(torch.stack([log_alpha_U.detach(), wanted_U]))[0, 1] > 0.5


def test_multipliers_then_ascent_of_their_gradient():
    settings = PruningSettings(macs_ratio=0.5, multiplier_lr=2.0, stiffness=3.0)
    lagrangian = Lagrangian(budgets(settings, SMALL, SMALL), 0, settings.multiplier_lr, settings.stiffness)
    expected = GateSet(SMALL).expected()
    gap = (1 - lagrangian.budgets[0].measure(expected) / lagrangian.budgets[0].full - 0.5).item()
    penalty, _ = lagrangian(expected, 0)
    assert gap < -0.05
    assert penalty.item() == pytest.approx(3 * gap**2, rel=1e-4)
    torch.testing.assert_close(lagrangian.multipliers, torch.tensor([[-0.05 * 2, 3 + 2 * gap**2]]))


@pytest.mark.parametrize("front_end", [SMALL.front_end, Waveform(channels=[8] * 7)], ids=["log-mel", "group norm"])
def test_matching_of_an_open_copy_in_a_padded_batch_then_no_loss(front_end):
    config = SMALL.model_copy(update={"front_end": front_end})
    encoder = Encoder(config).eval()
    copy = Encoder(config)
    copy.load_state_dict(encoder.state_dict())
    gated = GatedEncoder(copy, GateSet(config, drop=1e-12, ffn_drop=1e-12)).eval()
    module = LayerMatching(gated, 64, [0, 2], MatchingSettings(layers=[0, 2]))
    audio_BS, samples_B = torch.randn(2, 8000), torch.tensor([8000, 6000])
    # The teacher hears each row alone, the copy hears them padded by a quarter.
    rows = [encoder(audio_BS[i : i + 1, :n], samples_B[i : i + 1]).hidden for i, n in enumerate(samples_B.tolist())]
    targets_LBTW = torch.zeros(2, 2, encoder.frames(8000), 64)
    for i, hidden in enumerate(rows):
        for j, layer in enumerate((0, 2)):
            targets_LBTW[j, i, : hidden[layer].shape[1]] = hidden[layer][0].detach()
    loss, metrics = module(audio_BS, samples_B, targets_LBTW)
    assert loss.item() == pytest.approx(0.0, abs=1e-4)
    assert metrics["cosine"].item() == pytest.approx(1.0, abs=1e-5)


@pytest.fixture
def trial(tones, small_teacher, tmp_path):
    def make(folder: str, method=HJPruning, rungs=(4, 12, 16), evaluate=not_evaluated, **pruning) -> Trial:
        training = {"batch_s": 8.0, "checkpoint_updates": 3}
        own = {"distillation": {"layers": [0, -1]}} if method is DPHubert else {}
        document = {"training": training, "pruning": {"share": 0.6, "ramp": 0.8, **pruning}, **own}
        return Trial(
            number=0,
            settings=method.Settings.model_validate(document),
            corpus=tones,
            teacher=small_teacher,
            label_set=None,
            evaluate=evaluate,
            rungs=rungs,
            folder=tmp_path / folder,
            device=torch.device("cpu"),
            seed=5,
        )

    return make


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("method", [HJPruning, DPHubert])
def test_trial_killed_in_the_ramp_and_resumed_then_the_same_trajectory(method, trial, monkeypatch):
    (*_, whole) = method().run(trial("whole", method))
    forward, seen = Lagrangian.forward, []

    def dying(self, expected, step):
        seen.append(step)
        if step == 5 and seen.count(5) == 1:
            raise _KilledError
        return forward(self, expected, step)

    monkeypatch.setattr(Lagrangian, "forward", dying)
    with pytest.raises(_KilledError):
        list(method().run(trial("parts", method)))
    (*_, resumed) = method().run(trial("parts", method))
    assert seen == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9]
    assert {k: v for k, v in resumed.metrics.items() if k not in TIMINGS} == {
        k: v for k, v in whole.metrics.items() if k not in TIMINGS
    }
    for file in ("sliced/model.safetensors", "sliced/heads.safetensors", "student/model.safetensors"):
        one, other = (load_file(trial(name).folder / file) for name in ("whole", "parts"))
        assert all(torch.equal(one[name], other[name]) for name in one | other)
    curves = [(trial(name).folder / "curve.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    first, second = ([json.loads(line) for line in lines] for lines in curves)
    for name in ("train/lambda1", "train/lambda2", "train/sparsity"):
        pairs = [
            (one["metrics"].get(name), other["metrics"].get(name)) for one, other in zip(first, second, strict=True)
        ]
        assert all(one == other for one, other in pairs)


@pytest.mark.parametrize("damaged", ["sliced/model.safetensors", "sliced/heads.safetensors"])
def test_damaged_slice_then_the_trial_slices_again_and_ends_as_without_damage(damaged, trial):
    (*_, whole) = HJPruning().run(trial("whole"))
    began = HJPruning().run(trial("parts"))
    next(began)
    began.close()
    (trial("parts").folder / damaged).write_bytes(b"")
    (*_, resumed) = HJPruning().run(trial("parts"))
    assert {k: v for k, v in resumed.metrics.items() if k not in TIMINGS} == {
        k: v for k, v in whole.metrics.items() if k not in TIMINGS
    }


def test_rungs_before_the_slice_then_passed_over(trial):
    reports = list(HJPruning().run(trial("x")))
    assert [report.step for report in reports] == [12, 16]
    for metrics in (report.metrics for report in reports):
        assert 0 <= metrics["pruning/undecided"] <= 1
        assert metrics["pruning/expected_sparsity"] == pytest.approx(0.5, abs=0.5)
        assert metrics["pruning/loss_before"] != metrics["pruning/loss_after"]


def test_sliced_student_then_units_left_are_noted_and_it_is_what_recovery_starts_from(trial):
    evaluated = []
    list(
        HJPruning().run(
            trial("x", rungs=(10, 16), evaluate=lambda encoder, final, heads=None: evaluated.append(encoder) or {})
        )
    )
    folder = trial("x").folder
    left = json.loads((folder / "left.json").read_text())
    sliced = load_encoder(folder / "sliced")
    assert left["heads"] == {"left": [block.heads for block in sliced.config.block_list], "before": [2, 2]}
    assert evaluated[0].config == sliced.config
    before, after = sliced.state_dict(), evaluated[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (folder / "pruning").exists()


def test_ratio_of_one_then_the_dense_student_trained_for_as_long(trial, small_teacher):
    *_, last = HJPruning().run(trial("dense", macs_ratio=1.0))
    folder = trial("dense").folder
    student, before = load_encoder(folder / "student"), small_teacher.encoder
    assert last.step == 16
    assert last.metrics["pruning/undecided"] == last.metrics["pruning/expected_sparsity"] == 0
    assert last.metrics["pruning/loss_after"] == pytest.approx(last.metrics["pruning/loss_before"], rel=1e-5)
    assert student.config == sized(before.config, sizes_of(before.config))
    assert all(unit["left"] == unit["before"] for unit in json.loads((folder / "left.json").read_text()).values())
    still = [name for name, x in before.named_parameters() if torch.equal(x, student.state_dict()[name])]
    assert still == ["norm.weight", "norm.bias"], "only the final LayerNorm is not read by a head on hidden states"


def test_continued_trial_then_it_starts_as_the_earlier_one_ended(trial, small_teacher, monkeypatch):
    list(HJPruning().run(trial("half", macs_ratio=0.6)))
    earlier = trial("half").folder
    modules, starts, targets = [], [], []
    forward = Lagrangian.forward

    class Watched(EncoderUnderHead):
        def __init__(self, *parts):
            super().__init__(*parts)
            modules.append(self)

    def watched(self, expected, step):
        starts.append({name: x.clone() for name, x in modules[0].state_dict().items()})
        penalty, values = forward(self, expected, step)
        targets.append((values["sparsity"] - values["sparsity_gap"]).item())
        return penalty, values

    monkeypatch.setattr("raysearch.tasks.learner.EncoderUnderHead", Watched)
    monkeypatch.setattr(Lagrangian, "forward", watched)
    *_, last = HJPruning().run(trial("less", macs_ratio=0.4, continue_from=str(earlier)))

    ended = load_weights(earlier, torch.device("cpu"))
    for name, x in ended.items():
        assert torch.equal(starts[0][name.replace("student.", "student.encoder.")], x)
    before = macs_superb(small_teacher.encoder.config)
    gone = 1 - macs_superb(load_encoder(earlier / "student").config) / before
    assert targets[0] == pytest.approx(gone + (0.6 - gone) / 8)
    assert targets[-1] == pytest.approx(0.6)
    assert 1e9 * last.metrics["cost/macs_g"] == pytest.approx(0.4 * before, rel=0.01)
