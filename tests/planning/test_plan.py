"""The plan's arithmetic against sums done by hand, and its limits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.corpora.batches import KEPT_BYTES
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import AnyConfig, Waveform
from raysearch.encoder.cost import SUPERB_SAMPLES, TRAINING_PASSES, macs_superb, params
from raysearch.encoder.document import read_config
from raysearch.errors import InputError
from raysearch.planning import pace, plan
from raysearch.planning.forecast import Forecast
from raysearch.planning.pace import Pace, Range, pace_of_students
from raysearch.planning.plan import Hours, Planner, corpus_hours, make_plan
from raysearch.planning.throughput import Throughput, measure_reading, measure_training, narrowed
from raysearch.planning.update_cost import UpdateCost, head_macs_per_s, macs_per_s, update_cost
from raysearch.search.costs import Costs
from raysearch.spec.document import Spec, WorkerSettings
from raysearch.spec.space import Distribution
from raysearch.targets.store import Store
from raysearch.tasks.settings import PhonemesSettings
from raysearch.teachers.settings import TrainedTeacher
from tests.search.made_up import DOCUMENT, TEACHER, spec_with

PACE = Pace(Range(4e9, 2e9, 1e9), fixed_s=0.0, reading_s=0.01, measured=("so fast",), assumed=("no faster",))
HOURS = Hours(0.5, 0.1, 0.2, "made up")


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "pace_of_students", lambda *asked: PACE)


def test_macs_a_second_are_superbs_over_its_seconds() -> None:
    assert macs_per_s(TEACHER) == pytest.approx(macs_superb(TEACHER) * 16_000 / sum(SUPERB_SAMPLES))


def cost_of(spec: Spec, **config: object) -> UpdateCost:
    full = {"method": spec.methods[0], **config}
    return update_cost(spec.settings(full), spec.student_config(full, TEACHER), TEACHER, 1)


def test_teacher_is_asked_in_every_update_by_methods_that_imitate_its_states() -> None:
    for method, share in (("dicehubert", 0.0), ("distilhubert", 1.0)):
        spec = spec_with(method=method, space={}, **({"distillation": {"layers": [1]}} if share else {}))
        settings = spec.settings({"method": method})
        student = spec.student_config({"method": method}, TEACHER)
        expected = settings.training.batch_s * (3 * macs_per_s(student) + share * macs_per_s(TEACHER))
        assert cost_of(spec).macs == pytest.approx(expected)


def distilling(**search: object) -> Planner:
    changes = {"method": "distilhubert", "space": {}, "distillation": {"layers": [-1, 2]}}
    return Planner(spec_with(**changes, search={"trials": 6, "updates": 100, **search}), TEACHER, HOURS, PACE, PACE)


def test_kept_states_then_no_update_asks_the_teacher() -> None:
    config = {"method": "distilhubert"}
    online, kept = distilling(keep_features_gb=0), distilling()
    heard_s = 100 * cost_of(online.spec).audio_s
    saved_s = online.trial_s(config).likely - kept.trial_s(config).likely
    assert saved_s == pytest.approx(heard_s * macs_per_s(TEACHER) / 2e9)
    assert [len(one.features((config, config))) for one in (online, kept)] == [0, 2]
    assert [one.feature_passes((config, config)) for one in (online, kept)] == [0, 1]


def test_supernet_is_trained_once_before_the_first_trial() -> None:
    """A supernet without drawn sub-networks: the largest is the teacher, and so is the smallest."""
    smallest = {"depth": 6, "width": 256, "ffn_ratio": 4.0, "channels": 512}
    supernet = {"updates": 50, "drawn": 0, "batch_s": 10.0, "accumulate": 3, "smallest": smallest}
    spec = spec_with(method="supernet", student={}, space={}, supernet=supernet, distillation={"layers": [6]})
    planner = Planner(spec, TEACHER, HOURS, PACE, PACE)
    macs = 50 * 3 * 10.0 * (2 * 3 + 1) * macs_per_s(TEACHER)
    assert planner.shared_s().likely == pytest.approx(macs / 2e9)
    assert planner.before_s(()).likely == pytest.approx(planner.teacher_s().likely + macs / 2e9)
    searched = spec.model_copy(update={"space": {"supernet.drawn": Distribution(choice=[0, 1])}})
    assert Planner(searched, TEACHER, HOURS, PACE, PACE).shared_s().likely == 0.0


def test_slice_is_judged_without_a_probe_where_it_has_a_head() -> None:
    changes = {"method": "supernet", "student": {}, "space": {}, "distillation": {"layers": [6]}}
    found = {}
    for weight in (0.0, 1.0):
        spec = spec_with(**changes, supernet={"task_weight": weight}, search={"rungs": [0]})
        found[weight] = Planner(spec, TEACHER, HOURS, PACE, PACE).trial_s({"method": "supernet"}).likely
    held_out_s = 3600 * (HOURS.dev + HOURS.test)
    assert found[1.0] == pytest.approx(held_out_s * macs_per_s(TEACHER) / 2e9)
    assert found[0.0] > found[1.0]


def test_head_of_superb_is_counted_with_what_it_hears() -> None:
    def trial_s(**task: object) -> float:
        changes = {"method": "supernet", "student": {}, "space": {}, "distillation": {"layers": [6]}}
        changes |= {"supernet": {"task_weight": 0}, "search": {"rungs": [0]}}
        spec = spec_with(**changes, task={"kind": "phonemes", "updates": 50, "lrs": [0.01], **task})
        return Planner(spec, TEACHER, HOURS, PACE, PACE).trial_s({"method": "supernet"}).likely

    task = PhonemesSettings(head="superb")
    head = 50 * task.batch_s * TRAINING_PASSES * head_macs_per_s(task, TEACHER)
    assert trial_s(head="superb") - trial_s() == pytest.approx(head / 2e9)
    assert head_macs_per_s(PhonemesSettings(), TEACHER) == 0


def test_states_are_kept_up_to_the_gigabytes_that_are_given() -> None:
    # Half an hour at 25 Hz has 45,000 frames. Two layers of 256 numbers of two bytes take 46 MB.
    layers = {gb: distilling(keep_features_gb=gb).kept_layers({"method": "distilhubert"}) for gb in (0.045, 0.047)}
    assert layers == {0.045: frozenset(), 0.047: {(2, (640, 200)), (6, (640, 200))}}


def test_states_are_kept_on_the_frames_of_slower_students_and_counted_so() -> None:
    faster = TEACHER.model_copy(update={"front_end": Waveform()})
    changes = {"method": "distilhubert", "distillation": {"layers": [6]}}
    spec = spec_with(**changes, space={"student.front_end": {"choice": ["logmel-25hz", "waveform"]}})
    planner = Planner(spec, faster, HOURS, PACE, PACE)
    slow, fast = ({"method": "distilhubert", "student.front_end": kind} for kind in ("logmel-25hz", "waveform"))
    assert planner.features((slow, fast)) == {(6, (640, 200)), (6, (320, 200))}
    assert planner.feature_passes((slow, fast, slow)) == 2
    stored_gb = [
        planner.storage_gb(Forecast(1.0, 0.0, (), {}, (one,)), 1.0)["teacher features"] for one in (slow, fast)
    ]
    assert stored_gb == pytest.approx([45_000 * 512 / 1e9, 90_000 * 512 / 1e9], rel=1e-3)


PRUNING = {"method": "hjpruning", "student": {}, "space": {}}


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({}, 0),  # the teacher was trained to read phones
        ({"teacher": {"source": "train", "method": "hubert"}}, 1),
        ({"task": {"kind": "asr"}}, 1),
        ({"ctc": {"unit": "characters"}}, 0),  # no student is judged on reading them, so that head starts from nothing
        ({"method": "dphubert", "distillation": {"layers": [6]}}, 0),
        ({"task": [{"kind": "phonemes"}, {"kind": "intent"}]}, 1),
        (
            {"teacher": {"source": "torchaudio:HUBERT_BASE"}},
            1,
        ),  # it begins with the head by which the teacher is judged
    ],
)
def test_head_that_is_trained_on_the_teacher_is_counted_once(changes: dict[str, object], heads: int) -> None:
    spec = spec_with(**{**PRUNING, **changes})
    config = {"method": spec.methods[0]}
    planner = Planner(spec, TEACHER, HOURS, PACE, PACE)
    # A probe encodes the half hour that it learns from, dev and test.
    expected_s = heads * 3600 * (HOURS.train + HOURS.dev + HOURS.test) * macs_per_s(TEACHER) / 2e9
    assert planner.heads_s((config, config)).likely == pytest.approx(expected_s)
    before_s = planner.before_s((config, config)).likely
    pass_s = planner.feature_passes((config, config)) * planner.pass_s().likely
    assert before_s == pytest.approx(planner.teacher_s().likely + pass_s + expected_s)


def test_teacher_that_brings_a_head_needs_no_other(tmp_path: Path) -> None:
    spec = spec_with(**PRUNING, teacher={"source": str(tmp_path)})
    planner = Planner(spec, TEACHER, HOURS, PACE, PACE)
    assert planner.heads_s(({"method": "hjpruning"},)).likely > 0
    (tmp_path / "head.json").touch()
    assert planner.heads_s(({"method": "hjpruning"},)).likely == 0


def test_states_are_not_kept_for_less_audio_than_making_them_takes() -> None:
    changes = {"method": "distilhubert", "space": {}, "distillation": {"layers": [1]}}
    spec = spec_with(**changes, search={"trials": 2, "updates": 10})
    heard_h = 2 * 10 * spec.settings({"method": "distilhubert"}).training.batch_s / 3600
    for train_h, layers in ((heard_h / 2, 1), (2 * heard_h, 0)):
        planner = Planner(spec, TEACHER, replace(HOURS, train=train_h), PACE, PACE)
        assert len(planner.features(({"method": "distilhubert"},))) == layers


@pytest.mark.usefixtures("no_measuring")
def test_plan_counts_the_pass_that_keeps_states_and_their_bytes() -> None:
    changes = {
        "method": "distilhubert",
        "space": {"student.depth": {"int": [1, 6]}},
        "distillation": {"layers": [2, 4]},
    }
    kept, online = (
        make_plan(
            spec_with(**changes, search={"trials": 4, "updates": 100, "keep_features_gb": keep}),
            TEACHER,
            HOURS,
            gpus=1,
            gpu="h100",
        )
        for keep in ("auto", 0)
    )
    assert (kept["features"], online["features"]) == (2, 0)
    once_s = 1800 * macs_per_s(TEACHER) / 2e9 + 1800 * PACE.reading_s
    assert kept["before_h"]["likely"] - online["before_h"]["likely"] == pytest.approx(once_s / 3600)
    assert kept["storage_gb"]["teacher features"] == pytest.approx(2 * 45_000 * 256 * 2 / 1e9, rel=1e-3)
    assert online["storage_gb"]["teacher features"] == 0
    assert sum("half of the free disk" in line for line in kept["assumed"]) == 1
    assert kept["trial_s"]["likely"] < online["trial_s"]["likely"]


def test_every_batch_of_an_update_is_counted() -> None:
    one, three = (spec_with(method="dicehubert", space={}, training={"accumulate": count}) for count in (1, 3))
    assert cost_of(three) == UpdateCost(3 * cost_of(one).audio_s, 3 * cost_of(one).macs)


def test_pruned_student_costs_its_teacher_until_it_is_sliced() -> None:
    half, whole = (
        spec_with(method="hjpruning", student={}, space={}, pruning={"macs_ratio": ratio, "share": 0.5})
        for ratio in (0.5, 1.0)
    )
    assert cost_of(half).macs == pytest.approx(0.75 * cost_of(whole).macs, rel=0.01)


def test_trial_time_is_its_work_over_the_pace() -> None:
    spec = spec_with()
    planner = Planner(spec, TEACHER, HOURS, PACE, PACE)
    config = spec.search_space.walk(lambda _, distribution: distribution.values()[0])
    cost = update_cost(spec.settings(config), spec.student_config(config, TEACHER), TEACHER, 1)
    found = planner.trial_s(config)
    assert found.low == pytest.approx(found.likely / 2)
    assert found.likely > spec.search.updates * cost.macs / 2e9, "evaluation comes on top"


def test_reading_counts_only_what_is_not_kept() -> None:
    spec = spec_with()
    config = spec.search_space.walk(lambda _, distribution: distribution.values()[0])
    kept_h = KEPT_BYTES / 2 / 16_000 / 3600
    small, large = (Planner(spec, TEACHER, replace(HOURS, train=hours), PACE, PACE) for hours in (kept_h, 2 * kept_h))
    read_s = 0.5 * spec.search.updates * spec.settings(config).training.batch_s * PACE.reading_s
    assert large.trial_s(config).low - small.trial_s(config).low == pytest.approx(read_s)


@pytest.mark.usefixtures("no_measuring")
def test_plan_adds_up() -> None:
    found = make_plan(spec_with(), TEACHER, HOURS, gpus=3, gpu="h100")
    search = spec_with().search
    assert sum(found["trials_by_state"].values()) == search.trials
    assert found["lanes"] + found["idle_gpus"] == 3
    for way in ("low", "likely", "high"):
        spent = found["lanes"] * (found["search_h"][way] + found["before_h"][way])
        assert found["gpu_hours"][way] == pytest.approx(spent)
    shares = [step["quartiles"][1] for step in found["curve"]]
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1.2
    largest = {"method": "dicehubert", "student.depth": 6, "student.width": 256}
    assert found["students_macs_g"]["most"] == Costs(spec_with(), TEACHER)(largest).macs_g


@pytest.mark.usefixtures("no_measuring")
def test_plan_of_a_budget_has_the_trials_that_it_pays_for() -> None:
    whole = make_plan(spec_with(), TEACHER, HOURS, gpus=2, gpu="h100")
    half = {"gpu_hours": whole["gpu_hours"]["likely"] / 2}
    found = make_plan(spec_with(search={"budget": half, "updates": 100}), TEACHER, HOURS, gpus=2, gpu="h100")
    assert 0 < found["trials"] < whole["trials"]
    assert found["gpu_hours"]["likely"] < whole["gpu_hours"]["likely"]


def test_label_sets_that_no_trial_asks_for_are_not_counted() -> None:
    changes = {"method": "unfused", "student": {}, "space": {}, "targets": {"clusters": 8}}
    for control, sets in (("none", 1), ("random", 0), ("oracle", 0)):
        spec = spec_with(**changes, distillation={"control": control})
        assert Planner(spec, TEACHER, HOURS, PACE, PACE).label_sets(({"method": "unfused"},)) == sets


@pytest.mark.usefixtures("no_measuring")
def test_more_gpus_than_trials_are_idle() -> None:
    found = make_plan(spec_with(), TEACHER, HOURS, gpus=100, gpu="h100")
    assert found["lanes"] == found["trials"]
    assert found["idle_gpus"] == 100 - found["trials"]


def test_fewer_gpus_than_a_lane_has_workers_are_refused() -> None:
    with pytest.raises(InputError, match=r"--gpus: 1; expected at least workers\.num_workers = 2"):
        make_plan(spec_with(workers={"num_workers": 2}), TEACHER, HOURS, gpus=1, gpu="h100")


def test_hours_asked_for_are_said_to_be_assumed(tmp_path: Path) -> None:
    assert "not read" in corpus_hours(spec_with(), 960.0, Store(tmp_path)).source


def test_measured_encoder_gives_more_audio_more_time() -> None:
    found = measure_training(TEACHER, torch.device("cpu"), "fp32")
    assert 0 < found.fixed_s < found.update_s
    assert measure_reading() < 1


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "encoders").glob("*.yaml")), ids=lambda path: path.stem
)
def test_narrowed_encoder_has_as_many_operations_and_next_to_no_weights(path: Path) -> None:
    wide = read_config(path)
    narrow = narrowed(wide)
    with torch.device("meta"):
        modules, fewer = (list(build_encoder(config).modules()) for config in (wide, narrow))
    assert [type(module).__name__ for module in fewer] == [type(module).__name__ for module in modules]
    assert params(narrow) < params(wide) / 50


def test_pace_of_a_gpu_is_asked_of_no_student_at_its_full_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "measure_training", lambda *asked: pytest.fail("minutes on a laptop"))
    found = pace_of_students("h100", (TEACHER,) * 3, WorkerSettings())
    assert found.fixed_s > 0
    assert any("starting the operations" in line for line in found.measured)


def test_teacher_trained_here_has_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    own = TrainedTeacher(depth=1, width=32, heads=2, updates=10, batch_s=30)
    spec = spec_with(teacher=own.model_dump())

    def measure(config: AnyConfig, device: torch.device, precision: str, batch_s: float = 40.0) -> Throughput:
        if config != own.encoder():
            return Throughput(0.0, 1.0, batch_s, 1e9)
        assert (precision, batch_s) == ("fp32", 30)
        return Throughput(0.0, 1.0, batch_s, 4e9)

    monkeypatch.setattr(pace, "measure_training", measure)
    monkeypatch.setattr(pace, "measure_reading", lambda: 1e-9)
    found = make_plan(spec, own.encoder(), HOURS, gpus=1, gpu="here")
    heard_s = 3 * 10 * 30 + 3600 * HOURS.train
    teacher_h = heard_s * macs_per_s(own.encoder()) / 4e9 / 3600
    assert found["before_h"] == pytest.approx(dict.fromkeys(("low", "likely", "high"), teacher_h))
    assert sum(line.startswith("training the teacher: 30 s") for line in found["measured"]) == 1


def test_pace_of_a_gpu_is_its_shares_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "measure_training", lambda *asked: Throughput(0.01, 1.0, 40.0, 1e9))
    monkeypatch.setattr(pace, "measure_host", lambda *asked: 0.02)
    monkeypatch.setattr(pace, "measure_reading", lambda: 0.001)
    found = pace_of_students("h100", (TEACHER,) * 3, WorkerSettings())
    assert found.macs_per_s.likely == pytest.approx(0.09 * 989e12 / 2)
    assert found.fixed_s == 0.02
    assert any("no h100 was measured" in line for line in found.assumed)
    assert pace_of_students("h100", (TEACHER,) * 3, WorkerSettings(precision="fp32")).macs_per_s.low == pytest.approx(
        0.25 * 67e12 / 2
    )
    assert pace_of_students("here", (TEACHER,) * 3, WorkerSettings()).macs_per_s.likely == pytest.approx(1e9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpus", "2", "--gpu", "b300"], "--gpu: b300; expected one of a100, h100, h200, here"),
        (["--gpus", "2"], "/nowhere"),
        (
            ["--gpus", "2", "--hours", "1", "--set", "teacher={source: 'hf:/weights'}"],
            "teacher.source: 'hf:/weights': not there; expected a folder",
        ),
        (
            ["--gpus", "2", "--hours", "1", "--set", "teacher={source: 'torchaudio:WAVLM_LARGE'}"],
            "teacher.source: torchaudio:WAVLM_LARGE: known once it is downloaded; expected torchaudio:HUBERT_BASE, ",
        ),
    ],
)
def test_bad_input_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({**DOCUMENT, "corpus": {"kind": "librispeech", "root": "/nowhere"}}))
    found = CliRunner().invoke(app, ["plan", str(path), *words, "--storage", str(tmp_path)])
    assert isinstance(found.exception, InputError)
    assert said in str(found.exception)


@pytest.mark.usefixtures("no_measuring")
def test_plan_of_an_absent_corpus_prints_one_document(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({**DOCUMENT, "corpus": {"kind": "librispeech", "root": "/nowhere"}}))
    words = ["plan", str(path), "--gpus", "8", "--gpu", "h200", "--hours", "960", "--trials", "7"]
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["hours"]["train"] == 960
    assert document["trials"] == 7
    printed = CliRunner().invoke(app, words).stdout
    assert "GPU-hours" in printed
    assert "so fast" in printed
