"""The searcher with one cost and two errors, or two costs and one error: stopped, resumed, repeated."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raysearch.front.document import document as build_document
from raysearch.search.costs import Costs, reference_point
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from tests.search.made_up import TEACHER, error_of, spec_with

TASKS = [{"kind": "phonemes"}, {"kind": "speaker"}]
SEARCH = {"trials": 14, "updates": 100, "rungs": [0.5, 1.0]}
OBJECTIVES = [["macs", "per", "eer"], ["macs", "params", "per"], ["eer", "params", "per"]]


def three(objectives: list[str], **search: Any) -> Spec:
    return spec_with(task=TASKS, objectives=objectives, search={**SEARCH, **search})


def errors_of(config: dict[str, Any]) -> dict[str, float]:
    """Made-up errors of which the second is the higher the wider a student is."""
    return {"eval/per": error_of(config), "eval/eer": 5 + config["student.width"] / 10 - config["student.depth"]}


def run(searcher: Searcher, until: int | None = None) -> None:
    ran = 0
    while ran != until and (suggestion := searcher.suggest()) is not None:
        errors = errors_of(suggestion.config)
        if searcher.observe(suggestion.number, 50, {key: error + 10 for key, error in errors.items()}):
            searcher.complete(suggestion.number, 100, errors)
        ran += 1


def front_of(searcher: Searcher) -> set[int]:
    spec, study = searcher.spec, searcher.study
    return set(
        build_document(spec.name, spec.objectives, study.records(), reference_point(spec, Costs(spec, TEACHER))).front
    )


@pytest.mark.parametrize("objectives", OBJECTIVES, ids="-".join)
@pytest.mark.parametrize("scheduler", ["fifo", "pareto-asha"])
def test_search_that_was_killed_goes_on_as_if_it_had_not_been(
    objectives: list[str], scheduler: str, start: Callable[..., Searcher], tmp_path: Path
) -> None:
    spec = three(objectives, scheduler=scheduler, sampler="random")
    study = Study.create(f"{tmp_path}/whole", spec.name, spec.objectives, {})
    whole = Searcher(spec, study, TEACHER, trials=14, say=lambda _: None)
    run(whole)
    # The first eight of the interrupted one end, and the driver is gone before the ninth reports.
    first = start(spec)
    run(first, until=8)
    first.suggest()
    resumed = start(spec)
    run(resumed)
    assert [(r.config, r.metrics, r.state) for r in resumed.study.records()] == [
        (r.config, r.metrics, r.state) for r in study.records()
    ]
    states = {record.state for record in study.records()}
    assert ("stopped" in states) == (scheduler == "pareto-asha")
    assert len(front_of(whole)) > 1


@pytest.mark.parametrize("objectives", OBJECTIVES, ids="-".join)
def test_models_of_the_errors_suggest_before_and_after_a_kill(
    objectives: list[str], start: Callable[..., Searcher]
) -> None:
    spec = three(objectives)
    first = start(spec)
    run(first, until=9)
    before = [(r.number, r.config) for r in first.study.records()]
    interrupted = first.suggest()
    assert interrupted
    resumed = start(spec)
    assert resumed.suggest() == interrupted
    resumed.fail(interrupted.number, "lost", "its driver was killed")
    run(resumed)
    counted = [record for record in resumed.study.records() if record.state != "infeasible"]
    assert [record.state for record in counted] == ["complete"] * 14
    assert [(r.number, r.config) for r in resumed.study.records()][: len(before)] == before
    assert len({str(record.config) for record in counted}) == 14


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_every_other_sampler_takes_three_objectives(sampler: str, tmp_path: Path) -> None:
    spec = three(["macs", "per", "eer"], sampler=sampler, trials=6)
    study = Study.create(f"{tmp_path}/study", spec.name, spec.objectives, {})
    searcher = Searcher(spec, study, TEACHER, trials=6, say=lambda _: None)
    run(searcher)
    assert [record.state for record in study.records() if record.state != "infeasible"] == ["complete"] * 6


def test_both_errors_must_be_measured(start: Callable[..., Searcher]) -> None:
    searcher = start(three(["macs", "per", "eer"]))
    suggestion = searcher.suggest()
    assert suggestion
    assert searcher.observe(suggestion.number, 50, {"eval/per": 50.0}), "there is nothing to compare it with"
    searcher.complete(suggestion.number, 100, {"eval/per": 50.0, "eval/eer": math.nan})
    record = searcher.study.record(suggestion.number)
    assert (record.state, record.cause) == ("failed", "nan")
    assert record.error == "eval/eer is missing or not finite"


def test_trial_that_is_bad_at_both_is_stopped_and_one_that_is_good_at_speakers_goes_on(
    start: Callable[..., Searcher],
) -> None:
    searcher = start(three(["macs", "per", "eer"], scheduler="pareto-asha", sampler="random"))
    goes_on = []
    for errors in ((50.0, 20.0), (60.0, 30.0), (61.0, 31.0), (90.0, 5.0), (95.0, 50.0)):
        suggestion = searcher.suggest()
        assert suggestion
        # As dear as each other, so that errors alone decide.
        searcher.study.set_cost(suggestion.number, searcher.study.record(0).cost)
        goes_on.append(
            searcher.observe(suggestion.number, 50, dict(zip(("eval/per", "eval/eer"), errors, strict=True)))
        )
    assert goes_on == [True, False, False, True, False]


def test_search_whose_front_stands_still_in_all_three_ends(start: Callable[..., Searcher]) -> None:
    searcher = start(three(["macs", "per", "eer"], trials=40, stop={"gain": 0.05, "suggestions": 2}))
    run(searcher)
    assert searcher.ended_by.startswith("the front stands still: each of the last 2 suggestions was expected to add")
    assert sum(record.state == "complete" for record in searcher.study.records()) < 40


def test_members_run_again_under_other_seeds(start: Callable[..., Searcher]) -> None:
    searcher = start(three(["macs", "per", "eer"], trials=8, repeats={"seeds": 2}))
    run(searcher)
    repeated = {record.repeats for record in searcher.study.records() if record.repeats is not None}
    assert repeated == front_of(searcher)


def test_reference_point_has_a_number_for_each() -> None:
    spec = three(["macs", "per", "eer"])
    macs, per, eer = reference_point(spec, Costs(spec, TEACHER))
    spec = three(["macs", "params", "per"])
    params = reference_point(spec, Costs(spec, TEACHER))[1]
    assert (per, eer) == (100.0, 100.0)
    assert macs > params > 0
