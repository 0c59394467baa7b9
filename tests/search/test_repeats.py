"""Members of the front run again under other seeds, against means worked out by hand."""

from collections.abc import Callable
from math import sqrt

import pytest
from scipy.stats import t as student_t

from raysearch.front.document import document
from raysearch.front.trials import TrialRecord
from raysearch.search.repeats import next_repeat, over_seeds, repeats_left
from raysearch.search.searcher import Searcher
from tests.search.made_up import error_of, spec_with

OBJECTIVES = ["macs", "per"]


def trial(number: int, macs_g: float, per: float, repeats: int | None = None, state: str = "complete") -> TrialRecord:
    return TrialRecord.model_validate(
        {
            "number": number,
            "state": state,
            "config": {"method": "dicehubert"},
            "cost": {"macs_g": macs_g, "params_m": 1.0},
            "metrics": {"eval/per": per, "eval/per_low": per - 3, "eval/per_high": per + 5, "cost/seconds": 9.0},
            "repeats": repeats,
        }
    )


def test_mean_over_seeds_has_an_interval_of_cuts_and_seeds() -> None:
    found = over_seeds([trial(0, 1.0, 40.0), trial(1, 1.0, 44.0, 0), trial(2, 1.0, 48.0, 0), trial(3, 2.0, 30.0)])
    metrics = found[0].metrics
    assert (metrics["eval/per"], metrics["eval/per_seeds"], metrics["eval/per_spread"]) == (44.0, 3.0, 4.0)
    half = student_t.ppf(0.975, 2) * 4.0 / sqrt(3)
    assert metrics["eval/per_low"] == pytest.approx(44 - sqrt(3**2 + half**2))
    assert metrics["eval/per_high"] == pytest.approx(44 + sqrt(5**2 + half**2))
    assert metrics["cost/seconds"] == 9.0
    assert found[3] == trial(3, 2.0, 30.0)


def test_front_has_the_mean_and_no_repeat_and_a_lucky_member_may_leave_it() -> None:
    records = [trial(0, 2.0, 30.0), trial(1, 1.0, 35.0), trial(2, 2.0, 50.0, 0), trial(3, 1.0, 35.0, 1)]
    assert document("s", OBJECTIVES, records, [9.0, 100.0]).front == [1, 0]
    assert document("s", OBJECTIVES, over_seeds(records), [9.0, 100.0]).front == [1]


def test_member_with_the_fewest_runs_is_next_and_running_ones_count() -> None:
    records = [trial(0, 2.0, 30.0), trial(1, 1.0, 35.0), trial(2, 3.0, 40.0), trial(3, 1.0, 35.0, 1, "running")]
    again = next_repeat(records, OBJECTIVES, 3)
    assert again is not None
    assert again.number == 0
    assert sorted(one.number for one in repeats_left(records, OBJECTIVES, 3)) == [0, 0, 1]
    assert next_repeat(records[:1], OBJECTIVES, 1) is None


def test_search_runs_its_front_again_and_keeps_its_number_of_trials(start: Callable[..., Searcher]) -> None:
    spec = spec_with(search={"trials": 6, "updates": 100, "repeats": {"seeds": 3}})
    searcher = start(spec)
    seeds: dict[int, set[int]] = {}
    while (suggestion := searcher.suggest()) is not None:
        record = searcher.study.record(suggestion.number)
        of = suggestion.number if record.repeats is None else record.repeats
        seeds.setdefault(of, set()).add(suggestion.seed)
        assert suggestion.config == searcher.study.record(of).config
        per = error_of(suggestion.config) + suggestion.seed % 2
        assert searcher.observe(suggestion.number, 50, {"eval/per": 99.0})
        searcher.complete(suggestion.number, 100, {"eval/per": per, "eval/per_low": per - 1, "eval/per_high": per + 1})
    assert searcher.study.asked_for == 6
    found = document("tiny", OBJECTIVES, over_seeds(searcher.study.records()), [100.0, 100.0])
    assert {len(seeds[number]) for number in found.front} == {3}
    assert max(map(len, seeds.values())) == 3
    # A driver that comes later has nothing left to do.
    assert start(spec).suggest() is None
