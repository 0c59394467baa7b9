"""A search whose front stands still ends by the surrogate's own word, and says so."""

from collections.abc import Callable

import pytest

from raysearch.errors import InputError
from raysearch.search.searcher import Searcher
from raysearch.search.study import ENDED_BY
from tests.search.made_up import run, spec_with

SEARCH = {"trials": 40, "updates": 100}


def ended(searcher: Searcher) -> int:
    return sum(record.state == "complete" for record in searcher.study.records())


def test_search_ends_when_no_candidate_promises_to_move_the_front(start: Callable[..., Searcher]) -> None:
    spec = spec_with(search={**SEARCH, "stop": {"gain": 0.05, "suggestions": 2}})
    searcher = start(spec)
    run(searcher)
    assert 6 < ended(searcher) < 40
    assert searcher.ended_by.startswith("the front stands still: each of the last 2 suggestions was expected to add")
    assert searcher.study.about[ENDED_BY] == searcher.ended_by
    gains = searcher.study.gains()
    assert all(gain is not None and gain < 0.05 for gain in gains[-2:])
    assert any(gain is None or gain >= 0.05 for gain in gains[-3:-1])
    # Resumed, it knows what its last suggestions promised.
    again = start(spec)
    before = ended(again)
    run(again)
    assert ended(again) == before
    # A lower threshold lets it go on.
    lower = start(spec_with(search={**SEARCH, "trials": before + 1, "stop": {"gain": 1e-9, "suggestions": 9}}))
    run(lower)
    assert ended(lower) == before + 1


def test_search_that_is_not_asked_keeps_no_gains_and_runs_all_its_trials(start: Callable[..., Searcher]) -> None:
    searcher = start(spec_with(search={**SEARCH, "trials": 12}))
    run(searcher)
    assert ended(searcher) == 12
    assert set(searcher.study.gains()) == {None}


def test_sampler_without_a_model_cannot_say_that_the_front_stands_still() -> None:
    with pytest.raises(InputError, match="stop: with sampler random; expected sampler ehvi or auto"):
        spec_with(search={"sampler": "random", "stop": {}})
