"""The searcher against its promises: nothing lost, nothing told twice, nothing over budget, the same again."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from raysearch.errors import WorkError
from raysearch.front.document import document as build_document
from raysearch.search.searcher import MAX_LOST, Searcher
from raysearch.search.study import Study
from tests.search.made_up import DOCUMENT, TEACHER, error_of, run, spec_with

Start = Callable[..., Searcher]


def finished(searcher: Searcher) -> list[tuple[int, str]]:
    return [(r.number, r.state) for r in searcher.study.records() if r.state != "infeasible"]


def test_search_runs_as_many_trials_as_asked(start: Start) -> None:
    searcher = start(spec_with())
    run(searcher)
    assert [state for _, state in finished(searcher)] == ["complete"] * 6


def test_search_never_runs_a_configuration_twice(start: Start) -> None:
    searcher = start(spec_with(search={"trials": 40, "updates": 100, "sampler": "random"}))
    run(searcher)
    configs = [tuple(sorted(r.config.items())) for r in searcher.study.records() if r.state == "complete"]
    assert len(configs) == len(set(configs)) == 40


def test_random_suggestion_looks_at_no_other_trial(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take longer with every trial that there is."""
    searcher = start(spec_with(search={"trials": 8, "updates": 100, "sampler": "random"}))
    monkeypatch.setattr(Study, "records", lambda self: pytest.fail("all trials were looked at"))
    assert searcher.suggest()


@pytest.mark.parametrize("sampler", ["random", "ehvi"])
def test_trial_that_is_chosen_ahead_is_the_one_that_would_be_chosen_later(start: Start, sampler: str) -> None:
    def configs(name: str, *, ahead: bool) -> list[dict[str, Any]]:
        spec = spec_with(search={"trials": 9, "updates": 100, "sampler": sampler})
        searcher = start(spec.model_copy(update={"name": name}))
        waiting = [searcher.suggest()]
        while (suggestion := waiting.pop(0)) is not None:
            looks_ahead = ahead and searcher.ahead
            waiting += [searcher.suggest()] if looks_ahead else []
            searcher.complete(suggestion.number, 100, {"eval/per": error_of(suggestion.config)})
            waiting += [] if looks_ahead else [searcher.suggest()]
        return [dict(record.config) for record in searcher.study.records()]

    assert configs("ahead", ahead=True) == configs("later", ahead=False)


@pytest.mark.parametrize(
    "search",
    [{"sampler": "tpe"}, {"timeout": {"seconds": 60}}, {"stop": {"gain": 0.01}}],
    ids=lambda search: next(iter(search)),
)
def test_trial_about_which_results_or_time_decide_is_not_chosen_ahead(start: Start, search: dict[str, Any]) -> None:
    assert not start(spec_with(search={"trials": 9, "updates": 100, **search})).ahead


def test_ended_trial_is_made_into_a_record_once(start: Start) -> None:
    searcher = start(spec_with())
    run(searcher)
    first, again = searcher.study.records(), searcher.study.records()
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_space_that_is_used_up_ends_the_search_with_a_reason(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Searcher.__module__], "MAX_REFUSED", 40)
    space = {"student.depth": {"int": [1, 2]}}
    searcher = start(spec_with(space=space, search={"trials": 5, "sampler": "random"}))
    first, second = searcher.suggest(), searcher.suggest()
    assert first
    assert second
    with pytest.raises(WorkError, match=r"the last: same settings as trial [01]\).*2 feasible trials"):
        searcher.suggest()


@pytest.mark.parametrize("sampler", ["random", "ehvi", "tpe"])
def test_over_budget_is_infeasible_and_never_suggested(start: Start, sampler: str) -> None:
    limit = 30.0
    searcher = start(spec_with(constraints={"macs_g": limit}, search={"trials": 8, "updates": 100, "sampler": sampler}))
    run(searcher)
    for record in searcher.study.records():
        assert (record.cost.macs_g <= limit) or record.state == "infeasible"
    assert sum(r.state == "complete" for r in searcher.study.records()) == 8


def test_cost_that_is_measured_as_no_number_is_the_one_that_was_known(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    assert suggestion
    known = searcher.study.record(suggestion.number).cost
    searcher.complete(suggestion.number, 100, {"eval/per": 50.0, "cost/macs_g": math.nan, "cost/params_m": math.inf})
    record = searcher.study.record(suggestion.number)
    assert (record.state, record.cost) == ("complete", known)


def test_start_points_come_first(start: Start) -> None:
    point = {"student.depth": 5, "student.width": 64, "targets.clusters": 200}
    searcher = start(spec_with(search={"trials": 3, "start": [point]}))
    suggestion = searcher.suggest()
    assert suggestion
    assert suggestion.config == {"method": "dicehubert", **point}


@pytest.mark.parametrize(("owner", "name"), [(optuna.Study, "ask"), (Study, "_write")], ids=["waits", "has nothing"])
def test_driver_that_is_killed_while_it_asks_costs_a_number_and_nothing_else(
    owner: type, name: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a database each of its writes is one of its own: a trial may wait to be asked for, or have no settings."""
    points = [{"student.depth": 2}, {"student.depth": 5}, {"student.depth": 3}]
    spec = spec_with(search={"trials": 3, "updates": 100, "start": points})

    def die(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(KeyboardInterrupt):
            start(spec).suggest()
    start(spec)
    searcher = start(spec)
    run(searcher)
    found = [(record.number, record.config["student.depth"], record.state) for record in searcher.study.records()]
    assert found == [(1, 2, "complete"), (2, 5, "complete"), (3, 3, "complete")]
    assert all(frozen.state.is_finished() for frozen in searcher.study._study.trials)


def test_same_seed_gives_the_same_study(start: Start, tmp_path: Path) -> None:
    studies = []
    for name in ("a", "b"):
        spec = spec_with()
        study = Study.create(f"{tmp_path}/{name}", spec.name, spec.objectives, {})
        searcher = Searcher(spec, study, TEACHER, trials=10, say=lambda _: None)
        run(searcher)
        studies.append([(r.number, r.config, r.metrics, r.state) for r in study.records()])
    assert studies[0] == studies[1]


def test_suggestions_do_not_depend_on_the_clock(start: Start, tmp_path: Path) -> None:
    """Past the spread start, where the model of the error suggests: slow or fast, the same seed asks the same."""
    found = []
    for name, slowness in (("fast", 1.0), ("slow", 40.0)):
        spec = spec_with()
        study = Study.create(f"{tmp_path}/{name}", spec.name, spec.objectives, {})
        searcher = Searcher(spec, study, TEACHER, trials=12, say=lambda _: None)
        while (suggestion := searcher.suggest()) is not None:
            seconds = slowness * (1 + suggestion.number % 3)
            metrics = {"eval/per": error_of(suggestion.config), "cost/seconds": seconds}
            searcher.complete(suggestion.number, 100, metrics)
        found.append([record.config for record in study.records()])
    assert found[0] == found[1]


def test_resume_after_a_crash_gives_the_study_of_an_uninterrupted_run(start: Start, tmp_path: Path) -> None:
    spec = spec_with(search={"trials": 10, "updates": 100, "sampler": "random"})
    whole = Study.create(f"{tmp_path}/whole", spec.name, spec.objectives, {})
    run(Searcher(spec, whole, TEACHER, trials=10, say=lambda _: None))
    run(start(spec), until=4)
    resumed = start(spec)
    run(resumed)
    assert [(r.config, r.metrics) for r in resumed.study.records()] == [(r.config, r.metrics) for r in whole.records()]


def test_interrupted_trial_is_suggested_again_under_its_number(start: Start) -> None:
    first = start(spec_with()).suggest()
    assert first
    again = start(spec_with()).suggest()
    assert again == first


def test_driver_killed_between_report_and_tell_tells_once(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    assert suggestion
    searcher.study.report(suggestion.number, 100, {"eval/per": 50.0})
    # The state was written, the storage was not told: the driver died between the two.
    searcher.study._write(suggestion.number, "state", "complete")
    resumed = start(spec_with())
    assert resumed.study.record(suggestion.number).state == "complete"
    run(resumed)
    assert len(finished(resumed)) == 6


def test_lost_trial_runs_again_and_is_counted_once(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    assert suggestion
    searcher.fail(suggestion.number, "lost", "gone")
    ran = run(searcher)
    assert ran[0] == suggestion.number
    assert len(finished(searcher)) == 6


def test_trial_lost_again_and_again_fails_in_the_end(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    while suggestion and suggestion.number == 0:
        searcher.fail(0, "lost", "gone")
        suggestion = searcher.suggest()
    assert searcher.study.record(0).state == "failed"
    assert searcher.study.record(0).cause == "lost"


def test_trial_whose_machines_are_drained_again_and_again_is_not_charged(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    for _ in range(3 * MAX_LOST):
        assert suggestion
        assert suggestion.number == 0
        searcher.fail(0, "drained", "its machine goes")
        suggestion = searcher.suggest()
    searcher.fail(0, "lost", "gone")
    assert searcher.study.attempt(0) == 2
    assert searcher.study.record(0).state == "running"


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_tell_without_a_finite_error_fails_the_trial(start: Start, value: float | None) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    assert suggestion
    searcher.complete(suggestion.number, 100, {} if value is None else {"eval/per": value})
    record = searcher.study.record(suggestion.number)
    assert (record.state, record.cause) == ("failed", "nan")


def test_trial_out_of_memory_runs_again_on_half_batches_twice_as_many(start: Start) -> None:
    searcher = start(spec_with(training={"batch_s": 20.0, "accumulate": 3}))
    suggestion = searcher.suggest()
    assert suggestion
    searcher.fail(suggestion.number, "oom", "full")
    again = searcher.suggest()
    assert again
    assert again.number == suggestion.number
    assert again.overrides == {"training.batch_s": 10.0, "training.accumulate": 6}


def test_user_error_keeps_its_traceback(start: Start) -> None:
    searcher = start(spec_with())
    suggestion = searcher.suggest()
    assert suggestion
    searcher.fail(suggestion.number, "user", "Traceback: no such thing")
    assert searcher.study.record(suggestion.number).error == "Traceback: no such thing"


def test_pareto_asha_stops_the_dominated(start: Start) -> None:
    searcher = start(spec_with(search={"trials": 30, "updates": 100, "rungs": [0.5, 1.0], "scheduler": "pareto-asha"}))
    run(searcher)
    records = searcher.study.records()
    stopped = [r for r in records if r.state == "stopped"]
    assert stopped
    best = min((r for r in records if r.state == "complete"), key=lambda r: r.metrics["eval/per"])
    assert all(error_of(r.config) >= error_of(best.config) for r in stopped)


def test_pareto_asha_compares_methods_at_the_same_share_of_their_own_updates(start: Start) -> None:
    points = [{"method": "dicehubert", "student.depth": depth} for depth in (1, 2, 3)]
    points.append({"method": "distilhubert", "student.depth": 6, "student.width": 256})
    search = {"updates": 100, "updates_of": {"distilhubert": 33}, "rungs": [0.5, 1.0], "start": points}
    method, layers = {"choice": ["dicehubert", "distilhubert"]}, {"layers": [-1]}
    spec = spec_with(method=method, distillation=layers, search={**search, "scheduler": "pareto-asha"})
    assert (spec.rung_updates("dicehubert"), spec.rung_updates("distilhubert")) == ((50, 100), (16, 33))
    searcher = start(spec)
    for rung, error in ((50, 40.0), (50, 41.0), (50, 42.0), (16, 99.0)):
        suggestion = searcher.suggest()
        assert suggestion
        went_on = searcher.observe(suggestion.number, rung, {"eval/per": error})
    assert suggestion.config["method"] == "distilhubert"
    assert not went_on


READY = {"method": "tests.search.fake_method:Ready", "student": {"heads": 4}}
READY_SPACE = {
    "student.depth": {"int": [1, 6]},
    "student.width": {"choice": [64, 96, 128, 192, 256]},
    "student.ffn_ratio": {"choice": [1.0, 2.0, 3.0, 4.0]},
}


def run_ready(searcher: Searcher) -> dict[int, tuple[int, ...]]:
    """Plays the lanes' part where students can be judged untrained. Returns the rungs of each trial that ran."""
    ran: dict[int, tuple[int, ...]] = {}
    rungs = searcher.spec.rung_updates(str(READY["method"]))
    while (suggestion := searcher.suggest()) is not None:
        error = 90 - 6 * int(suggestion.config["student.depth"]) - int(suggestion.config["student.width"]) / 16
        for rung in rungs:
            ran[suggestion.number] = (*ran.get(suggestion.number, ()), rung)
            metrics = {"eval/per": error - 5 * (rung > 0), "test/per": error}
            if rung == rungs[-1]:
                searcher.complete(suggestion.number, rung, metrics)
            elif not searcher.observe(suggestion.number, rung, metrics):
                break
    return ran


def test_trial_that_is_left_at_rung_zero_is_complete_there(start: Start) -> None:
    search = {"trials": 40, "updates": 100, "rungs": [0, 1.0], "scheduler": "pareto-asha"}
    searcher = start(spec_with(**READY, space=READY_SPACE, search=search))
    ran = run_ready(searcher)
    left = [number for number, rungs in ran.items() if rungs == (0,)]
    assert 25 < len(left) < 40
    for number in left:
        record = searcher.study.record(number)
        assert (record.state, record.rung, record.checkpoint) == ("complete", 0, f"trials/{number:04d}/student")
        assert record.metrics["test/per"] == record.metrics["eval/per"]
    document = build_document("t", ["macs", "per"], searcher.study.records(), [120.0, 100.0], None)
    assert set(left) & set(document.front), "an untrained model may be on the front"


@pytest.mark.parametrize(
    "sampler", ["random", "ehvi", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tpe", "nsga2", "gp"))]
)
def test_search_without_any_training_runs_to_its_end(start: Start, sampler: str) -> None:
    search = {"trials": 12, "rungs": [0], "sampler": sampler, "scheduler": "pareto-asha"}
    searcher = start(spec_with(**READY, space=READY_SPACE, search=search))
    assert set(run_ready(searcher).values()) == {(0,)}
    assert finished(searcher) == [(number, "complete") for number, _ in finished(searcher)]
    assert len(finished(searcher)) == 12


def test_untrained_are_compared_with_untrained_alone(start: Start) -> None:
    search = {"trials": 9, "updates": 100, "updates_of": {"dicehubert": 1}, "rungs": [0, 1.0]}
    method = {"choice": [READY["method"], "dicehubert"]}
    points = [{"method": name, "student.depth": 2} for name in ("dicehubert", READY["method"])]
    search |= {"start": points, "scheduler": "pareto-asha"}
    searcher = start(spec_with(method=method, student={"heads": 4}, space=READY_SPACE, search=search))
    assert searcher.spec.rung_updates("dicehubert") == (1,)
    trained, untrained = searcher.suggest(), searcher.suggest()
    assert trained
    assert untrained
    searcher.complete(trained.number, 1, {"eval/per": 1.0})
    assert searcher.observe(untrained.number, 0, {"eval/per": 90.0}), "it is the first at its rung"


def test_ehvi_beats_random_on_a_smooth_error(start: Start, tmp_path: Path) -> None:
    """Behaviour only, no oracle: over four seeds the median hypervolume is higher at 16 of 144 configurations."""
    volumes: dict[str, list[float]] = {"ehvi": [], "random": []}
    space = {**DOCUMENT["space"], "student.ffn_ratio": {"choice": [1.0, 2.0, 3.0, 4.0]}}
    for sampler, found in volumes.items():
        for seed in range(4):
            spec = spec_with(space=space, search={"trials": 16, "updates": 100, "sampler": sampler, "seed": seed})
            study = Study.create(f"{tmp_path}/{sampler}{seed}", spec.name, spec.objectives, {})
            run(Searcher(spec, study, TEACHER, trials=16, say=lambda _: None))
            found.append(build_document("t", spec.objectives, study.records(), [120.0, 100.0], None).hypervolume)
    assert np.median(volumes["ehvi"]) > np.median(volumes["random"])


def test_student_that_was_trained_is_taken_over_by_trials_that_ship_it_otherwise(start: Start) -> None:
    points = [(2, "fp32"), (2, "int8"), (3, "fp32"), (2, "fp16"), (3, "int8")]
    search = {
        "trials": len(points),
        "updates": 100,
        "sampler": "random",
        "start": [{"student.depth": depth, "deploy.precision": precision} for depth, precision in points],
    }
    space = {"student.depth": {"int": [2, 3]}, "deploy.precision": {"choice": ["fp32", "fp16", "int8"]}}
    searcher = start(spec_with(space=space, search=search))
    one, beside = searcher.suggest(), searcher.suggest()
    assert one
    assert beside
    assert beside.trained_by is None, "the first one still runs"
    for suggestion in (beside, one):
        searcher.complete(suggestion.number, 100, {"eval/per": 50.0})
    other, again, last = searcher.suggest(), searcher.suggest(), searcher.suggest()
    assert other
    assert again
    assert last
    assert (other.trained_by, again.trained_by, last.trained_by) == (None, one.number, None)
    assert again.seed == one.seed != beside.seed
    # Killed, and resumed: it is judged by the same student.
    resumed = start(searcher.spec)
    found = [resumed.suggest() for _ in range(3)]
    assert [one and one.trained_by for one in found] == [None, one.number, None]
    resumed.complete(again.number, 100, {"eval/per": 51.0})
    assert resumed.study.record(again.number).trained_by == one.number


def test_student_that_was_trained_for_8_bits_is_taken_over_by_nobody(start: Start) -> None:
    points: list[dict[str, Any]] = [
        {"deploy.precision": "int8", "deploy.aware": 0.3},
        {"deploy.precision": "fp32"},
        {"deploy.precision": "int8-static", "deploy.aware": 0.3},
        {"deploy.precision": "int8", "deploy.aware": 0.0},
    ]
    space = {
        "deploy.precision": {"choice": ["fp32", "int8", "int8-static"]},
        "deploy.aware": {"choice": [0.0, 0.3], "when": {"deploy.precision": ["int8", "int8-static"]}},
    }
    search = {"trials": 4, "updates": 100, "sampler": "random", "start": points}
    searcher = start(spec_with(space=space, search=search))
    found = []
    for _ in points:
        suggestion = searcher.suggest()
        assert suggestion
        searcher.complete(suggestion.number, 100, {"eval/per": 50.0})
        found.append(suggestion.trained_by)
    assert found == [None, None, None, 1]


def test_student_that_was_stopped_is_taken_over_by_nobody(start: Start) -> None:
    points = [{"deploy.precision": precision} for precision in ("fp32", "int8")]
    search = {"trials": 2, "updates": 100, "sampler": "random", "start": points}
    searcher = start(spec_with(space={"deploy.precision": {"choice": ["fp32", "int8"]}}, search=search))
    first = searcher.suggest()
    assert first
    searcher.observe(first.number, 50, {"eval/per": 50.0})
    searcher.study.end(first.number, "stopped")
    second = searcher.suggest()
    assert second
    assert second.trained_by is None
