"""How errors come back from workers: whatever wraps them, wrong input stays wrong input, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError
from ray.train import TrainingFailedError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from raysearch.errors import InputError, WorkError
from raysearch.lanes import worker
from raysearch.lanes.lane import IDLE_S, RUNG_IDLE_S, Lane, LaneSetup, run_alone, told
from raysearch.lanes.mailbox import GO
from raysearch.lanes.source import NOTICE_S
from raysearch.training.monitoring.limit import OverTimeError
from raysearch.training.monitoring.spent import Spent
from raysearch.training.report import Report

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
    lane._workers, lane._patience_s, lane._answer = SimpleNamespace(ended=INPUT), 60.0, None  # type: ignore[assignment]
    monkeypatch.setattr("ray.wait", lambda answers, timeout: ([], answers))
    assert lane._receive() == {"cause": "input", "error": str(INPUT), "metrics": {}}


class Post:
    """Stands for the mailbox of one worker: what the lane answers to each report, one message for each."""

    first = True

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.sent = answers, []

    def receive(self) -> Any:
        return self.answers.pop(0)

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def served(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], broken: int = 0, whole: bool = False
) -> list[tuple[str, int]]:
    """What a worker reports of trials with rungs 0 and 9, as pairs of the trial's number or the cause, and the step.

    The `broken` trial fails after rung 0 unless it is `whole`, and the posting of its works fails as it ends.
    """
    post = Post(answers)

    def reports(_: Any, order: dict[str, Any], __: Any) -> Iterator[Report]:
        yield Report(0, {"of": order["number"]}, final=False)
        if order["number"] == broken and not whole:
            raise OSError(28, "No space left on device")
        yield Report(9, {"of": order["number"]}, final=True)

    @contextmanager
    def posting(place: str) -> Iterator[None]:
        yield
        if place == f"trial {broken}":
            raise OSError(28, "No space left on device")

    for name, stands in {
        "_Post": lambda _: post,
        "_workplace": lambda *_: None,
        "get_device": lambda: None,
        "board_of": lambda *_: SimpleNamespace(posting=posting),
        "_reports": reports,
        "_Machines": lambda: SimpleNamespace(go=lambda: False),
    }.items():
        monkeypatch.setattr(worker, name, stands)
    worker.serve_lane({"setup": {"folder": "", "uri": ""}, "mailbox": None})
    assert post.answers == []
    return [(one.get("cause") or str(one["metrics"]["of"]), one.get("step", -1)) for one in post.sent]


def order(number: int) -> dict[str, Any]:
    return {"number": number, "spent_s": 0.0, "cpu_s": 0.0, "limit_s": None}


def test_each_report_has_one_answer_and_the_next_order_ends_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two messages at once might come in either order: the order was then taken for leave to go on."""
    assert served(monkeypatch, [order(1), order(2), GO, order(3), None]) == [("1", 0), ("2", 0), ("2", 9), ("3", 0)]
    assert served(monkeypatch, [None]) == []


def test_trial_that_breaks_says_so_but_not_in_the_name_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(monkeypatch, [order(1), GO, order(2), None], broken=1) == [("1", 0), ("disk", -1), ("2", 0)]
    taken_away = [order(1), order(2), GO, None]
    assert served(monkeypatch, taken_away, broken=1) == [("1", 0), ("2", 0), ("2", 9)]
    ended = [order(1), GO, order(2), None]
    assert served(monkeypatch, ended, broken=1, whole=True) == [("1", 0), ("1", 9), ("2", 0)]


@pytest.mark.parametrize(("workers", "questions"), [(1, 2), (2, 4)])
def test_worker_that_is_alone_asks_no_more_often_than_ray_looks(
    monkeypatch: pytest.MonkeyPatch, workers: int, questions: int
) -> None:
    asked_s: list[float] = []
    now_s = [0.0]

    def info() -> object:
        asked_s.append(now_s[0])
        return object() if now_s[0] >= NOTICE_S else None

    context = SimpleNamespace(get_world_size=lambda: workers)
    monkeypatch.setattr(worker, "train", SimpleNamespace(get_context=lambda: context, get_preemption_info=info))
    monkeypatch.setattr(worker.time, "monotonic", lambda: now_s[0])
    machines, found = worker._Machines(), []
    for now_s[0] in (0.0, 0.1, 0.9 * NOTICE_S, 1.1 * NOTICE_S):
        found.append(machines.go())
    assert found == [False, False, False, True]
    assert len(asked_s) == questions


def test_time_of_a_trial_counts_earlier_attempts_and_ends_with_the_trial() -> None:
    assert not worker._is_over(None, 1e9)
    assert [worker._is_over(60.0, Spent(spent_s)) for spent_s in (59.0, 61.0)] == [False, True]
    assert worker._cause(OverTimeError("over")) == "timeout"
    assert worker._last_words(OverTimeError("over")) == "over"


def test_lane_sends_one_message_for_each_report(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    lane = Lane.__new__(Lane)
    monkeypatch.setattr(Lane, "_receive", lambda self: {"final": False})
    lane._workers, lane._turn = SimpleNamespace(ask=sent.append, over=False), Lock()  # type: ignore[assignment]
    lane._begin({"patience_s": 1.0, "hard_limit_s": None, "suggestion": order(1)})
    lane.step()
    lane.reset_config({"patience_s": 1.0, "hard_limit_s": 9.0, "suggestion": order(2)})
    lane.step()
    lane.step()
    assert sent == [order(1), order(2), GO]


def test_idle_lane_ends_its_workers_and_a_trial_that_comes_later_gets_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lanes are more than places, the trial of another lane may wait for the place of these workers."""

    class Workers:
        over = False

        def __init__(self, setup: LaneSetup) -> None:
            self.orders: list[Any] = []
            made.append(self)

        def ask(self, message: Any) -> None:
            self.orders.append(message)

        def end(self) -> None:
            self.over = True

        def join(self, timeout_s: float) -> None:
            pass

    made: list[Workers] = []
    now_s = [0.0]
    monkeypatch.setattr("raysearch.lanes.lane._Workers", Workers)
    monkeypatch.setattr("raysearch.lanes.lane.board_of", lambda *_: None)
    monkeypatch.setattr("raysearch.lanes.lane.threading.Thread.start", lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(Lane, "_receive", lambda self: reports.pop() if reports else {"final": True})
    lane = Lane.__new__(Lane)
    trials = [{"patience_s": 1.0, "hard_limit_s": None, "suggestion": order(number)} for number in range(3)]
    lane.setup(trials[0], LaneSetup("", "", "", "", num_workers=1, cpus=1, use_gpu=False, precision="fp32"))

    def rests_after(seconds: float) -> bool:
        now_s[0] += seconds
        lane._rest_if_idle()
        return made[-1].over

    assert not rests_after(10 * IDLE_S), "a long trial is no idle lane"
    lane.step()
    assert not rests_after(0.5 * IDLE_S)
    lane.reset_config(trials[1])
    assert not rests_after(0.6 * IDLE_S), "the next trial came in time"
    lane.step()
    assert rests_after(IDLE_S)
    lane.reset_config(trials[2])
    assert [workers.orders for workers in made] == [[order(0), order(1)], [order(2)]]
    assert not made[-1].over

    reports.append({"final": False})
    lane.step()
    assert not rests_after(IDLE_S), "the driver has not said yet whether the trial goes on"
    assert rests_after(RUNG_IDLE_S - IDLE_S), "a trial that was stopped is not heard of again"
    told = lane.step()
    assert (told["report"]["cause"], told["done"]) == ("drained", False), "it goes on after all: elsewhere, uncharged"
    with pytest.raises(RuntimeError, match="left"):
        lane.step()
