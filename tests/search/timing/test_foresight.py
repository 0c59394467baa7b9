"""Forecasts that trials correct."""

import pytest

from raysearch.front.trials import Cost, TrialRecord
from raysearch.search.timing.foresight import Foresight
from tests.search.made_up import spec_with


def seen(number: int, seconds: float, *, rung: int = 100, state: str = "complete") -> tuple[TrialRecord, dict]:
    config = {"method": "dicehubert", "student.depth": 2}
    record = TrialRecord.model_validate(
        {"number": number, "state": state, "config": config, "cost": Cost(macs_g=1.0, params_m=1.0)}
    )
    return record, {rung: {"cost/seconds": seconds}}


def foresight(trusted: bool = True) -> Foresight:
    return Foresight(spec_with(workers={"lanes": 2}), lambda config: 10.0 * config["student.depth"], trusted=trusted)


def test_forecast_is_the_plan_until_a_trial_was_seen() -> None:
    assert foresight().seconds({"student.depth": 3}) == 30.0
    assert foresight(trusted=False).seconds({"student.depth": 3}) is None


def test_wrong_forecast_is_corrected_by_the_trials_that_ended() -> None:
    found = foresight()
    found.learn([seen(0, 60.0)])
    assert found.seconds({"student.depth": 3}) == 90.0


def test_first_trial_of_each_lane_no_longer_counts_once_others_have_ended() -> None:
    found = foresight()
    found.learn([seen(0, 200.0), seen(1, 300.0), seen(2, 40.0)])
    assert found.seconds({"student.depth": 1}) == pytest.approx(20.0)


def test_stopped_trial_counts_by_the_share_it_has_done_and_a_running_one_not_at_all() -> None:
    found = foresight()
    found.learn([seen(0, 30.0, rung=50, state="stopped"), seen(1, 999.0, state="running")])
    assert found.seconds({"student.depth": 1}) == pytest.approx(30.0)
