"""A searcher with a budget or a timeout, on a simulated clock."""

import re
from collections.abc import Callable

import pytest

from raysearch.errors import InputError
from raysearch.search.searcher import Searcher
from raysearch.search.study import ENDED_BY, Study
from raysearch.search.timing.budget import Budget
from raysearch.search.timing.deadlines import LEAST_TIMEOUT_S, Deadlines
from raysearch.search.timing.foresight import Foresight
from raysearch.simulation.simulation import Clock
from raysearch.spec.budget import Held
from raysearch.spec.document import Spec
from raysearch.spec.space import Config
from tests.search.made_up import TEACHER, error_of, spec_with

CLOCK = Clock()
HELD = Held(cpus=1, gpus=0)


def planned(config: Config) -> float:
    """Ten seconds a block."""
    return 10.0 * int(config["student.depth"])


@pytest.fixture
def begun(journal: str) -> Callable[..., tuple[Searcher, list[str]]]:
    def begin(spec: Spec, *, spent_h: float = 0.0, plan: Callable[[Config], float] = planned) -> tuple:
        CLOCK.now_s, said = 0.0, []
        try:
            study = Study.open(journal, spec.name)
        except KeyError:
            study = Study.create(journal, spec.name, spec.objectives, {})
        settings = spec.search.budget
        budget = settings and Budget(settings, HELD, before={"hours": spent_h}, began_s=0.0, clock=CLOCK)
        deadlines = Deadlines(spec, budget, Foresight(spec, plan, trusted=True))
        trials = spec.search.trials
        return Searcher(spec, study, TEACHER, trials=trials, say=said.append, deadlines=deadlines), said

    return begin


def spend(searcher: Searcher, times: float = 1.0) -> list[float]:
    """Runs trials one after the other, which take so many times their plan. Returns their lengths."""
    lengths = []
    while (suggestion := searcher.suggest()) is not None:
        seconds = times * planned(suggestion.config)
        assert suggestion.limit_s is not None
        if seconds > suggestion.limit_s:
            CLOCK.now_s += suggestion.limit_s
            searcher.fail(suggestion.number, "timeout", "its time was over")
            continue
        CLOCK.now_s += seconds
        lengths.append(seconds)
        metrics = {"eval/per": error_of(suggestion.config), "cost/seconds": seconds}
        searcher.complete(suggestion.number, 100, metrics)
    return lengths


@pytest.mark.parametrize("sampler", ["ehvi", "random"])
def test_nothing_begins_that_would_not_end_within_the_budget(begun: Callable, sampler: str) -> None:
    searcher, said = begun(spec_with(search={"budget": {"hours": 300 / 3600}, "updates": 100, "sampler": sampler}))
    lengths = spend(searcher)
    assert 280 < sum(lengths) <= 300
    assert "running" not in {record.state for record in searcher.study.records()}
    assert searcher.study.about[ENDED_BY] == searcher.ended_by
    assert [line for line in said if "the search ends" in line] == [f"the search ends: {searcher.ended_by}"]


def test_budget_holds_although_trials_take_three_times_their_plan(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"budget": {"hours": 900 / 3600}, "updates": 100}))
    lengths = spend(searcher, times=3.0)
    assert 700 < sum(lengths) <= 900
    assert CLOCK.now_s <= 900


def test_trial_that_the_budget_cuts_off_goes_on_once_there_is_more(begun: Callable) -> None:
    searcher, _ = begun(
        spec_with(search={"budget": {"hours": 30 / 3600}, "updates": 100, "start": [{"student.depth": 2}]})
    )
    assert spend(searcher, times=9.0) == []
    assert [record.state for record in searcher.study.records()] == ["running"]
    assert searcher.ended_by.startswith("the budget is spent")
    more, _ = begun(spec_with(search={"budget": {"hours": 1000 / 3600}, "updates": 100}), spent_h=30 / 3600)
    assert not more.study.about[ENDED_BY]
    again = more.suggest()
    assert again is not None
    assert again.number == 0


def test_resumed_search_has_what_is_left(begun: Callable) -> None:
    spec = spec_with(search={"budget": {"hours": 300 / 3600}, "updates": 100})
    first, _ = begun(spec)
    assert first.suggest() is not None
    resumed, _ = begun(spec, spent_h=250 / 3600)
    assert sum(spend(resumed)) <= 50


def test_budget_for_not_even_one_trial_is_refused(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"budget": {"hours": 5 / 3600}}))
    with pytest.raises(InputError, match=r"search.budget.hours: .*; expected more: the shortest trial takes 10 s"):
        searcher._deadlines.promise()


def test_promise_tells_how_many_trials_the_budget_pays_for(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"budget": {"hours": 1}}, workers={"lanes": 2}))
    # Depths from 1 to 6 are equally likely: 35 s on average, on each of two lanes.
    found = re.search(
        r"60 min left, on 2 lanes: about (\d+) to (\d+) trials of 10 s to 60 s$", searcher._deadlines.promise()
    )
    assert found
    assert 180 < int(found[1]) < 230
    # By the mean of 1/10, 1/20 and so on, they are 24.5 s.
    assert 250 < int(found[2]) < 330


def test_timeout_fails_the_trial_and_the_search_goes_on(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"trials": 2, "updates": 100, "timeout": {"seconds": 35}}))
    first = searcher.suggest()
    assert first is not None
    assert first.limit_s == 35
    searcher.fail(first.number, "timeout", "its time was over at update 50 of 100; its checkpoint is kept")
    record = searcher.study.record(first.number)
    assert (record.state, record.cause) == ("failed", "timeout")
    second = searcher.suggest()
    assert second is not None
    searcher.complete(second.number, 100, {"eval/per": 50.0})
    assert searcher.suggest() is None


def test_nothing_begins_that_is_expected_to_take_longer_than_the_timeout(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"trials": 20, "updates": 100, "timeout": {"seconds": 35}}))
    assert max(spend(searcher)) <= 30


def test_timeout_in_multiples_follows_the_corrected_forecast(begun: Callable) -> None:
    searcher, _ = begun(spec_with(search={"trials": 9, "updates": 100, "timeout": {"times": 4}}))
    first = searcher.suggest()
    assert first is not None
    assert first.limit_s == max(LEAST_TIMEOUT_S, 4 * planned(first.config))
    searcher.complete(first.number, 100, {"eval/per": 50.0, "cost/seconds": 10 * planned(first.config)})
    second = searcher.suggest()
    assert second is not None
    assert second.limit_s == pytest.approx(40 * planned(second.config))
