"""Budgets against sums done by hand."""

import re

import pytest

from raysearch.errors import InputError
from raysearch.spec.budget import ENDLESS, BudgetSettings, Held
from tests.search.made_up import DOCUMENT, spec_with

HELD = Held(cpus=8, gpus=4)


@pytest.mark.parametrize(
    ("document", "unit", "hours"),
    [
        ({"hours": 8}, "hours", 8.0),
        ({"cpu_hours": 40}, "cpu_hours", 5.0),
        ({"gpu_hours": 40}, "gpu_hours", 10.0),
        ({"money": 200, "per_gpu_hour": 2.5}, "gpu_hours", 20.0),
        ({"money": 10, "per_cpu_hour": 0.05}, "cpu_hours", 25.0),
        ({"money": 12, "per_hour": 4}, "hours", 3.0),
    ],
)
def test_budget_is_hours_of_what_is_held(document: dict[str, float], unit: str, hours: float) -> None:
    budget = BudgetSettings(**document)
    assert budget.unit == unit
    assert budget.hours_of(HELD) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "search.budget: none; expected exactly one of hours, cpu_hours, gpu_hours, money"),
        ({"hours": 1, "gpu_hours": 2}, "search.budget: hours and gpu_hours; expected exactly one"),
        ({"money": 5}, "search.budget: 0 prices; expected one of per_hour, per_cpu_hour, per_gpu_hour"),
        ({"hours": 5, "per_hour": 1}, "search.budget: 1 prices; expected no price without money"),
        ({"hours": -5}, "search.budget.hours: -5"),
    ],
)
def test_budget_that_says_nothing_clear_is_refused(document: dict[str, float], fault: str) -> None:
    with pytest.raises(InputError, match=re.escape(fault)):
        spec_with(search={"budget": document})


def test_budget_in_place_of_trials_asks_for_as_many_as_it_pays_for() -> None:
    assert spec_with(search={"budget": {"hours": 1}}).search.trials == ENDLESS
    assert spec_with(search={"budget": {"hours": 1}, "trials": 7}).search.trials == 7
    assert spec_with(search={}).search.trials == 24


def test_documents_without_a_budget_keep_their_digest() -> None:
    before = spec_with()
    assert spec_with(search={**DOCUMENT["search"], "budget": None, "timeout": None}).digest == before.digest
    assert spec_with(search={**DOCUMENT["search"], "budget": {"hours": 1}}).digest != before.digest
