"""The training loop: resuming repeats an uninterrupted run bit for bit; rungs, curve and faults are told."""

import json
from itertools import count, islice
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.training.loop import DivergedError, fit
from raysearch.training.loss_module import LossModule
from raysearch.training.monitoring.limit import DrainedError, OverTimeError, limited
from raysearch.training.monitoring.meter import TIMINGS
from raysearch.training.monitoring.progress import heard_by
from raysearch.training.quantised import Quantised
from raysearch.training.recipe import Recipe
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run

torch.set_num_threads(1)

CONFIG = StudentSettings(depth=1, width=16, heads=2, channels=8, position_kernel=3).encoder()


class Noise(NamedTuple):
    audio_BS: Tensor
    samples_B: Tensor


class NoiseBatches:
    """Batch i is drawn from seed i; `broken_at` is where the machine dies."""

    def __init__(self, broken_at=None, poisoned_at=None):
        self.broken_at, self.poisoned_at = broken_at, poisoned_at

    def from_step(self, step):
        for i in count(step):
            if i == self.broken_at:
                raise KeyboardInterrupt
            audio_BS = torch.from_numpy(np.random.default_rng(i).standard_normal((2, 4000)).astype(np.float32))
            if i == self.poisoned_at:
                audio_BS = audio_BS * float("nan")
            yield Noise(audio_BS, torch.tensor([4000, 3000]))


class Reconstruction(LossModule):
    """The loudness of each batch from the mean frame: something to learn, with dropout to need randomness."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student = Encoder(CONFIG, dropout=0.2)
        self.head = nn.Linear(16, 1)

    def counts(self, audio_BS, samples_B):
        return {"rows": len(samples_B)}

    def share(self, counts, audio_BS, samples_B):
        gap_B1 = self.head(self.student(audio_BS, samples_B).output_BTD.mean(1)) - audio_BS.std()
        loss = gap_B1.square().sum() / counts["rows"]
        return loss, {"twice": 2 * loss.detach()}


def train(
    folder,
    rungs=(4, 8),
    broken_at=None,
    poisoned_at=None,
    evaluate=None,
    updates=3,
    precision="fp32",
    scales=None,
    accumulate=1,
    quantised=None,
):
    settings = TrainingSettings(lr=1e-3, checkpoint_updates=updates, accumulate=accumulate)
    run = Run(folder, torch.device("cpu"), 7, precision, rungs, settings, scales or {}, quantised=quantised)
    recipe = Recipe(
        Reconstruction(),
        NoiseBatches(broken_at, poisoned_at),
        lambda step, batch: batch._asdict(),
        evaluate or (lambda encoder, final, heads=None: {"eval/error": 1.0, "eval/final": float(final)}),
    )
    return fit(run, recipe)


def state(folder):
    newest = max((folder / "checkpoints").iterdir())
    return load_file(newest / "tensors.safetensors")


def curve(folder):
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds")
        line["metrics"] = {name: value for name, value in line["metrics"].items() if name not in TIMINGS}
    return lines


def assert_same(one, other):
    left, right = state(one), state(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert curve(one) == curve(other)


def test_fit_then_reports_come_at_rungs_and_the_student_lies_on_disk(tmp_path):
    reports = list(train(tmp_path))
    assert [(report.step, report.final) for report in reports] == [(4, False), (8, True)]
    assert reports[1].metrics["eval/final"] == 1.0
    assert {"train/loss", "train/twice", "train/lr", "train/grad_norm"} < reports[1].metrics.keys()
    assert reports[1].metrics["train/twice"] == pytest.approx(2 * reports[1].metrics["train/loss"])
    weights = load_encoder(tmp_path / "student").state_dict()
    assert all(
        torch.equal(weights[k.removeprefix("model/student.")], v)
        for k, v in state(tmp_path).items()
        if "model/student." in k
    )


def test_fit_stopped_at_a_rung_and_resumed_then_the_same_bit_for_bit(tmp_path):
    list(train(tmp_path / "whole"))
    stopped = train(tmp_path / "parts")
    assert next(stopped).step == 4
    stopped.close()
    assert [report.step for report in train(tmp_path / "parts")] == [4, 8]
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("broken_at", "accumulate"), [(1, 1), (5, 1), (7, 1), (5, 2), (8, 2), (23, 3)])
def test_fit_that_died_between_checkpoints_then_the_same_bit_for_bit(tmp_path, broken_at, accumulate):
    list(train(tmp_path / "whole", accumulate=accumulate))
    with pytest.raises(KeyboardInterrupt):
        list(train(tmp_path / "parts", broken_at=broken_at, accumulate=accumulate))
    list(train(tmp_path / "parts", accumulate=accumulate))
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_fit_when_finished_then_it_only_reports_again(tmp_path):
    first = list(train(tmp_path))

    def fail(encoder, final):
        raise AssertionError("evaluated again")

    again = list(train(tmp_path, evaluate=fail))
    assert again == first[1:]


def test_fit_that_died_in_an_evaluation_then_it_is_evaluated_on_resume(tmp_path):
    def die(encoder, final, heads=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(train(tmp_path, evaluate=die))
    reports = list(train(tmp_path))
    assert [report.step for report in reports] == [4, 8]
    assert reports[0].metrics["eval/error"] == 1.0
    assert "train/loss" in reports[0].metrics


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"step": 8}'])
def test_fit_with_a_damaged_report_then_the_student_is_judged_again(tmp_path, damaged):
    first = list(train(tmp_path))
    (tmp_path / "report.json").write_text(damaged)
    assert list(train(tmp_path)) == first[1:]


def test_fit_with_a_damaged_newest_checkpoint_then_the_students_are_those_of_their_rungs(tmp_path):
    seen = {}

    def remember(encoder, final, heads=None):
        seen.setdefault(final, []).append(encoder.projection.weight.clone())
        return {}

    list(train(tmp_path, evaluate=remember, updates=100))
    (tmp_path / "checkpoints/000000008/state.json").write_text("{")
    list(train(tmp_path, evaluate=remember, updates=100))
    assert all(torch.equal(*weights) for weights in seen.values() if len(weights) == 2)
    assert len(seen[False]) == 2


def test_fit_with_a_poisoned_batch_then_says_the_update_and_keeps_no_broken_checkpoint(tmp_path):
    with pytest.raises(DivergedError, match=r"before update 5 .*train/loss is nan"):
        list(train(tmp_path, poisoned_at=4))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000000003", "000000004"]


def test_fit_when_evaluation_uses_randomness_then_training_is_not_changed(tmp_path):
    list(train(tmp_path / "quiet"))
    list(train(tmp_path / "noisy", evaluate=lambda encoder, final, heads=None: {"eval/error": float(torch.rand(()))}))
    assert_same(tmp_path / "quiet", tmp_path / "noisy")


def test_fit_with_a_scale_of_zero_then_that_group_does_not_move(tmp_path):
    list(train(tmp_path, scales={"head.": 0.0}))
    moved, start = state(tmp_path), Reconstruction().state_dict()
    assert torch.equal(moved["model/head.weight"], start["head.weight"])
    assert not torch.equal(moved["model/student.projection.weight"], start["student.projection.weight"])


def test_fit_in_bf16_then_close_to_full_precision(tmp_path):
    full, half = (list(train(tmp_path / p, precision=p))[1].metrics["train/loss"] for p in ("fp32", "bf16"))
    assert half == pytest.approx(full, rel=0.05)
    assert half != full


def test_fit_in_fp16_then_learns_and_its_scale_is_resumed(tmp_path):
    first, last = train(tmp_path, rungs=(10, 60), precision="fp16")
    assert last.metrics["train/loss"] < 0.5 * first.metrics["train/loss"]
    newest = max((tmp_path / "checkpoints").iterdir())
    assert json.loads((newest / "state.json").read_text())["scaler"]["scale"] > 0
    assert [report.step for report in train(tmp_path, rungs=(10, 60), precision="fp16")] == [60]


def test_fit_then_nothing_is_drawn_after_the_budget(tmp_path):
    assert len(list(islice(train(tmp_path / "one", broken_at=8), 5))) == 2
    assert len(list(islice(train(tmp_path / "three", broken_at=24, accumulate=3), 5))) == 2


def test_short_run_has_a_curve_of_twenty_points_and_a_long_one_a_point_for_every_fifty_updates(tmp_path):
    list(train(tmp_path / "short", rungs=(44,), updates=1000))
    assert [line["step"] for line in curve(tmp_path / "short")] == list(range(2, 45, 2))
    few = train(tmp_path / "few", rungs=(3,), updates=1000)
    assert [report.step for report in few] == [3]
    assert [line["step"] for line in curve(tmp_path / "few")] == [1, 2, 3]


def test_fit_whose_time_is_over_then_ends_with_a_checkpoint_and_resumes_bit_for_bit(tmp_path):
    list(train(tmp_path / "whole"))
    with limited(lambda: True), pytest.raises(OverTimeError, match=r"its time was over at update \d+ of"):
        list(train(tmp_path / "cut"))
    assert list((tmp_path / "cut" / "checkpoints").iterdir())
    list(train(tmp_path / "cut"))
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_fit_drained_after_each_update_then_the_same_bit_for_bit_and_no_update_is_repeated(tmp_path):
    """Most of these ends lie between two lines of the curve, whose means must not show them."""
    list(train(tmp_path / "whole", rungs=(10, 44), updates=1000))
    for step in range(1, 45):
        with (
            limited(lambda: False, leaving=lambda: True),
            pytest.raises(DrainedError, match=rf"its machine goes, at update {step} of 44"),
        ):
            list(train(tmp_path / "drained", rungs=(10, 44), updates=1000))
    assert [report.step for report in train(tmp_path / "drained", rungs=(10, 44), updates=1000)] == [44]
    assert_same(tmp_path / "whole", tmp_path / "drained")


def test_fit_tells_how_far_it_is_and_the_last_loss_of_the_curve(tmp_path):
    heard = []
    with heard_by(lambda *told: heard.append(told)):
        list(train(tmp_path, rungs=(3,)))
    assert [told[:4] for told in heard] == [("training", done, 3, "updates") for done in range(3)]
    assert heard[0][4] is None
    assert heard[2][4] == curve(tmp_path)[1]["metrics"]["train/loss"]


@pytest.mark.parametrize(("share", "first"), [(0.0, 8), (0.5, 4), (0.625, 3), (1.0, 0)])
def test_fit_with_a_last_share_of_8_bits_then_it_begins_with_that_update(tmp_path, share, first):
    def students(name, quantised):
        seen = []
        rungs = tuple(range(1, 9))
        list(train(tmp_path / name, rungs, quantised=quantised, evaluate=lambda one, *_: seen.append(one) or {}))
        return [student.projection.weight for student in seen]

    floats, bits = students("floats", None), students("bits", Quantised(share, static=True, convolutions=True))
    assert [torch.equal(one, other) for one, other in zip(floats, bits, strict=True)] == [n < first for n in range(8)]


@pytest.mark.parametrize("broken_at", [3, 5, 7])
def test_fit_with_a_last_share_of_8_bits_that_died_then_the_same_bit_for_bit(tmp_path, broken_at):
    quantised = Quantised(0.5, static=False, convolutions=False)
    list(train(tmp_path / "whole", quantised=quantised))
    with pytest.raises(KeyboardInterrupt):
        list(train(tmp_path / "parts", broken_at=broken_at, quantised=quantised))
    list(train(tmp_path / "parts", quantised=quantised))
    assert_same(tmp_path / "whole", tmp_path / "parts")
