"""Trials as data frames: what a search's document says, in columns of the same names."""

from __future__ import annotations

import numpy as np
import pytest

from raysearch.api.frames import front_frame, trials_frame
from raysearch.front.document import document
from raysearch.front.front import Front
from tests.front.made_up_trials import search, trial


def test_every_trial_is_a_row_with_its_settings_cost_and_errors() -> None:
    made = search(24)
    frame = trials_frame(made)
    assert list(frame["number"]) == [one.number for one in made.trials]
    for row, one in zip(frame.to_dict("records"), made.trials, strict=True):
        assert {key: row[key] for key in one.config} == one.config
        assert (row["state"], row["macs_g"], row["params_m"]) == (one.state, one.cost.macs_g, one.cost.params_m)
        assert {key: row[key] for key in one.metrics} == one.metrics


def test_marks_are_those_of_the_front() -> None:
    made = search(24)
    marks = Front.of(made.trials, made.objectives).marks()
    frame = trials_frame(made)
    assert dict(frame.dropna(subset="mark")[["number", "mark"]].to_numpy()) == {
        number: marked.mark.value for number, marked in marks.items()
    }
    assert set(frame[frame["mark"].isna()]["state"]) == {"stopped", "infeasible"}


def test_front_is_its_members_by_macs() -> None:
    made = search(24)
    frame = front_frame(made)
    assert list(frame["number"]) == made.front
    assert list(frame.index) == list(range(len(made.front)))
    assert frame["macs_g"].is_monotonic_increasing
    assert list(frame.columns) == list(trials_frame(made).columns)


def test_what_a_trial_lacks_is_missing() -> None:
    deep = {"method": "hjpruning", "pruning.macs_ratio": 0.5}
    errors = {"eval/error": 30.0, "test/eer": 4.0, "test/eer_low": 3.0, "test/eer_high": 6.0, "train/loss": 2.0}
    trials = [
        trial(0, 50, 20, config={"method": "dicehubert", "student.depth": 3}),
        trial(1, 90, 10, config=deep, metrics=errors, state="failed", cause="oom", error="out of memory"),
    ]
    frame = trials_frame(document("s", ["macs", "error"], trials, [400, 100]))
    assert list(frame.columns) == [
        *("number", "state", "method", "student.depth", "pruning.macs_ratio", "macs_g", "params_m", "eval/error"),
        *("eval/wer", "eval/wer_low", "eval/wer_high", "test/eer", "test/eer_low", "test/eer_high"),
        *("mark", "rung", "cost/seconds", "checkpoint", "cause", "error"),
    ]
    first, second = frame.to_dict("records")
    assert np.isnan(
        [first["pruning.macs_ratio"], first["eval/error"], second["student.depth"], second["eval/wer"]]
    ).all()
    # The error that is measured and the error that is told are two columns.
    assert (second["eval/error"], second["cause"], second["error"]) == (30.0, "oom", "out of memory")


@pytest.mark.parametrize("frame_of", [trials_frame, front_frame])
def test_search_without_trials_is_an_empty_frame(frame_of) -> None:
    frame = frame_of(document("s", ["macs", "wer"], [], [400, 100]))
    assert len(frame) == 0
    assert {"number", "state", "method", "macs_g", "params_m", "cause"} <= set(frame.columns)
