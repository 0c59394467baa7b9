"""What every method promises: a pure student, rungs in order, and a resumed trial that equals an uninterrupted one."""

import json

import pytest
import torch
from safetensors.torch import load_file

from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import macs_superb, params
from raysearch.encoder.encoder import Encoder
from raysearch.methods.table import METHODS, load_method
from raysearch.methods.trial import Trial
from raysearch.targets.pseudo_labels import PseudoLabels
from raysearch.training.monitoring.meter import TIMINGS

RUNGS = (2, 4, 6)
STUDENT = {"depth": 2, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}
DOCUMENT = {"student": STUDENT, "training": {"batch_s": 8.0, "lr": 1e-3, "checkpoint_updates": 3}}
SPEAKERS = {
    "student": {"blocks": 2},
    "adapter": {"width": 4},
    "backend": {"kind": "linear", "embedding": 8},
    "training": DOCUMENT["training"] | {"batch_s": 3.0, "crop_s": 0.5},
}
OWN = {
    "hubert": {"targets": {"clusters": 4}},
    "dicehubert": {"targets": {"clusters": 4}, "prediction": {"layers": [1, -1], "unmasked_weight": 0.5}},
    "fasthubert": {"targets": {"clusters": 4}},
    "distilhubert": {"distillation": {"layers": [1, 2]}},
    "armhubert": {"student": {**STUDENT, "time_reduction": 2}},
    "starhubert": {"student": {**STUDENT, "head_width": 5, "blocks_per_map": 2}},
    "hjpruning": {"pruning": {"share": 0.3, "macs_ratio": 0.5}},
    "oskdft": SPEAKERS,
    "kd-then-ft": SPEAKERS | {"distillation": {"share": 0.2}},
    "ft-only": SPEAKERS,
    "unfused": {"student": {**STUDENT, "kind": "transformer"}, "targets": {"clusters": 4}},
    "supernet": {
        "student": {"depth": 2, "width": 16, "heads": 1, "channels": 8},
        "supernet": {"updates": 3, "smallest": {"width": 16}, "batch_s": 8.0, "checkpoint_updates": 2},
        "distillation": {"layers": [1, 2]},
    },
    "dphubert": {"pruning": {"share": 0.3, "size_ratio": 0.5}, "distillation": {"layers": [0, 1, -1]}},
}

EXAMPLE = "example_method:Similarity"
"""That of docs/adding-a-method.md."""

pytestmark = pytest.mark.parametrize(
    "method", [pytest.param(load_method(name), id=name) for name in (*METHODS, EXAMPLE)]
)


def settings_of(method):
    known = {group: fields for group, fields in DOCUMENT.items() if group in method.Settings.model_fields}
    return method.Settings.model_validate(known | OWN.get(method.name, {}))


@pytest.fixture
def trial(method, tones, small_teacher, tone_labels, tmp_path):
    def make(folder):
        return Trial(
            number=0,
            settings=settings_of(method),
            corpus=tones,
            teacher=small_teacher,
            label_set=tone_labels,
            evaluate=lambda encoder, final, heads=None: {"eval/norm": encoder.projection.weight.norm().item()},
            rungs=RUNGS,
            folder=tmp_path / folder,
            device=torch.device("cpu"),
            seed=5,
            pseudo_labels=lambda _: PseudoLabels(4, {cut.id: i % 4 for i, cut in enumerate(tones.splits["train"])}, {}),
        )

    return make


def results(report):
    """The metrics that do not measure time."""
    return {name: value for name, value in report.metrics.items() if name not in TIMINGS}


def test_student_then_it_is_pure_and_builds(method, trial, small_teacher):
    settings = trial("x").settings
    config = method.student(settings, small_teacher.encoder.config)
    assert config == method.student(settings.model_copy(deep=True), small_teacher.encoder.config)
    assert isinstance(config, EncoderConfig)
    assert len(Encoder(config).blocks) == STUDENT["depth"]


def test_run_then_rungs_arrive_in_order_and_the_last_is_final(method, trial):
    reports = list(method().run(trial("x")))
    assert [report.step for report in reports] == list(RUNGS)
    assert [report.final for report in reports] == [False, False, True]
    assert all(isinstance(value, float) for report in reports for value in report.metrics.values())


def test_run_then_the_student_on_disk_is_the_one_that_was_evaluated(method, trial, small_teacher):
    *_, last = method().run(trial("x"))
    student = load_encoder(trial("x").folder / "student")
    promised = method.student(trial("x").settings, small_teacher.encoder.config)
    if "cost/macs_g" in last.metrics:
        # The shape is learned: only its cost is known before.
        assert last.metrics["cost/macs_g"] == macs_superb(student.config) / 1e9
        assert last.metrics["cost/params_m"] == params(student.config) / 1e6
        measure = params if method.name == "dphubert" else macs_superb
        assert measure(student.config) == pytest.approx(measure(promised), rel=0.01)
    else:
        assert student.config == promised
    assert student.projection.weight.norm().item() == last.metrics["eval/norm"]


def test_run_stopped_after_its_first_rung_and_resumed_then_the_same_end(method, trial):
    whole = list(method().run(trial("whole")))
    stopped = method().run(trial("parts"))
    first = next(stopped)
    stopped.close()
    resumed = list(method().run(trial("parts")))
    assert resumed[0].step == first.step
    assert [results(report) for report in resumed] == [results(report) for report in whole]
    one, other = (load_file(trial(name).folder / "student/model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_run_then_its_curve_has_every_rung_and_checkpoint(method, trial):
    list(method().run(trial("x")))
    lines = [json.loads(line) for line in (trial("x").folder / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["metrics"]["train/loss"] > 0 for line in lines)


def test_run_then_the_teacher_stays_frozen(method, trial, small_teacher):
    before = {name: tensor.clone() for name, tensor in small_teacher.encoder.state_dict().items()}
    list(method().run(trial("x")))
    assert not small_teacher.encoder.training
    assert all(torch.equal(before[name], tensor) for name, tensor in small_teacher.encoder.state_dict().items())
