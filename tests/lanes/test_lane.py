"""How errors come back from workers: whatever wraps them, wrong input stays wrong input, in one line."""

from functools import partial
from typing import Any

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError
from ray.train import TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from raysearch.errors import InputError, WorkError
from raysearch.lanes.lane import Lane, LaneSetup, run_alone, told

INPUT = InputError("corpus.root: /gone: no such folder; expected one that holds train")
LONG = "Training failed due to worker errors:\n[Rank 0]\nTraceback (most recent call last):\n"


@pytest.mark.parametrize("raised", [INPUT, UserExceptionWithTraceback(INPUT, f"{LONG}raysearch.errors.InputError: it")])
def test_wrong_input_is_told_as_a_command_would(raised: Exception) -> None:
    found = told(WorkerGroupError(f"{LONG}raysearch.errors.InputError: {INPUT}", {0: raised}))
    assert isinstance(found, InputError)
    assert str(found) == str(INPUT)


def test_wrong_input_of_one_worker_counts_more_than_that_the_others_lost_it() -> None:
    failures = {0: ConnectionError("peer is gone"), 1: WorkError("given up after 6 attempts"), 2: INPUT}
    assert isinstance(told(WorkerGroupError(LONG, failures)), InputError)
    del failures[2]
    assert str(told(WorkerGroupError(LONG, failures))) == "given up after 6 attempts"


def test_what_else_a_worker_raised_keeps_its_last_line() -> None:
    for failure in (
        WorkerGroupError(f"{LONG}KeyError: 'a'\n", {0: KeyError("a")}),
        TrainingFailedError("KeyError: 'a'"),
    ):
        found = told(failure)
        assert isinstance(found, WorkError)
        assert str(found) == "workers: KeyError: 'a'"


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (RayTaskError("train", f"{LONG}raysearch.errors.InputError: it", INPUT, "ray", 1, "here"), str(INPUT)),
        (RayTaskError("train", f"{LONG}KeyError: 'a'", KeyError("a"), "ray", 1, "here"), "workers: KeyError: 'a'"),
        (WorkerCrashedError(), f"workers: {str(WorkerCrashedError()).splitlines()[-1]}"),
    ],
)
def test_what_ended_a_process_alone_is_told_as_of_workers(
    raised: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Task:
        """What Ray makes of a function; it has the room of a worker, and is not tried again."""

        def __init__(self, function: Any, **room: Any) -> None:
            assert (room["num_cpus"], room["num_gpus"], room["max_retries"]) == (2, 1, 0)

        def remote(self, config: dict[str, Any]) -> None:
            raise raised

    monkeypatch.setattr("ray.remote", lambda **room: partial(Task, **room))
    setup = LaneSetup("", "", "", "", num_workers=1, cpus=2, use_gpu=True, precision="fp32")
    with pytest.raises((InputError, WorkError)) as caught:
        run_alone(lambda config: None, {}, setup)
    assert (str(caught.value), type(caught.value) is InputError) == (line, line == str(INPUT))


def test_trial_whose_workers_ended_by_wrong_input_fails_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not lost: other workers would find the same input, so that five attempts would change nothing."""
    lane = Lane.__new__(Lane)
    lane._ended, lane._patience_s, lane._answer = INPUT, 60.0, None
    monkeypatch.setattr("ray.wait", lambda answers, timeout: ([], answers))
    assert lane._receive() == {"cause": "input", "error": str(INPUT), "metrics": {}}
