"""What a driver's log holds of a lost lane, and what a full disk under Ray's own records is taken for."""

import errno
import logging
import math
import os
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import PreemptionError, PreemptionInfo

from raysearch.errors import WorkError
from raysearch.lanes import lane, worker
from raysearch.lanes.lane import Lane, LaneSetup
from raysearch.lanes.source import Suggestion
from raysearch.lanes.tune import _Run, last_line
from raysearch.training.monitoring.limit import DrainedError


def test_lost_lane_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tune-stand-in")
    log.addFilter(last_line)
    err = RuntimeError("ray::Lane.train()\n  File lane.py\nRuntimeError: the lane's workers ended")
    log.error("Trial task failed for trial %s", "Lane_1", exc_info=err)
    log.error("no exception")
    assert [record.getMessage() for record in caplog.records] == [
        "Trial task failed for trial Lane_1: RuntimeError: the lane's workers ended",
        "no exception",
    ]
    assert "Traceback" not in caplog.text


def waiting_lane(ended: Exception | None, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """A lane that waits for a report of workers which have ended."""
    monkeypatch.setattr(lane.ray, "wait", lambda answers, timeout: ([], answers))
    made = object.__new__(Lane)
    made._workers = SimpleNamespace(  # type: ignore[assignment]
        ended=ended, have_a_place=True, over=False, join=lambda timeout_s: None
    )
    made._setup, made._number, made._answer, made._turn = _setup(Path("/s/fake")), 0, object(), threading.Lock()
    made._patience_s, made._limit_s = 60.0, math.inf
    made._board = SimpleNamespace(step=lambda place: None)  # type: ignore[assignment]
    return made


def test_workers_that_ended_on_a_full_disk_are_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device")
    report = waiting_lane(ended, monkeypatch)._receive()
    assert report == {
        "cause": "disk",
        "error": "disk full while writing Ray's records in /s/fake/.ray",
        "metrics": {},
    }


def test_workers_that_ended_otherwise_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="the lane's workers ended: segfault"):
        waiting_lane(RuntimeError("segfault"), monkeypatch)._receive()


def _setup(folder: Path) -> LaneSetup:
    return LaneSetup("", str(folder), "", "", num_workers=1, cpus=1, use_gpu=False, precision="fp32")


class Heard:
    """A source of one trial, which keeps what it hears of its failure."""

    ahead = False

    def __init__(self) -> None:
        self.failures: list[tuple[Any, ...]] = []

    def suggest(self) -> Suggestion:
        return Suggestion(0, {"method": "fake"}, seed=0, limit_s=60.0)

    def fail(self, *told: Any) -> None:
        self.failures.append(told)


@pytest.mark.parametrize(("full", "cause"), [(True, "disk"), (False, "lost")])
def test_lane_that_is_lost_while_nothing_can_be_written_met_a_full_disk(
    full: bool, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Heard()
    run = _Run(source, _setup(tmp_path), lambda: 1, lambda event, number: None)  # type: ignore[arg-type]
    run.suggest("a")

    def sync(descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync)
    run.end("a", None, error=True)
    assert [told[:2] for told in source.failures] == [(0, cause)]


def test_after_a_full_disk_a_trial_that_was_chosen_ahead_does_not_begin(tmp_path: Path) -> None:
    class Halting(Heard):
        """Suggests trial after trial, ahead too, until one met a full disk."""

        ahead = True

        def __init__(self) -> None:
            super().__init__()
            self.numbers = count()

        def suggest(self) -> Suggestion:
            if self.failures:
                raise WorkError("disk full")
            return Suggestion(next(self.numbers), {"method": "fake"}, seed=0)

    source = Halting()
    run = _Run(source, _setup(tmp_path), lambda: 1, lambda event, number: None)  # type: ignore[arg-type]
    run.suggest("a")
    assert run.suggest("b") is None
    assert next(source.numbers) == 2, "trial 1 is chosen while trial 0 runs"
    run.end("a", {"report": {"cause": "disk", "error": "disk full", "step": 1, "metrics": {}}}, error=False)
    with pytest.raises(WorkError, match="disk full"):
        run.suggest("b")


def test_lane_that_outlives_the_time_of_its_trial_is_ended_and_the_trial_has_timed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = _setup(tmp_path)
    source, now_s = Heard(), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    run = _Run(source, setup, lambda: 1, lambda event, number: None)  # type: ignore[arg-type]
    asked = run.suggest("a")
    assert isinstance(asked, dict)
    made = waiting_lane(None, monkeypatch)
    made._ends_s = 1000.0 + asked["hard_limit_s"]
    now_s[0] += asked["hard_limit_s"]
    told = made.step()
    assert not told["done"]
    assert run.observe(told)
    with pytest.raises(RuntimeError, match="left"):
        made.step()
    run.end("a", None, error=True)
    assert [told[:2] for told in source.failures] == [(0, "timeout")]


def test_trial_of_a_drained_lane_is_not_lost_though_tune_hears_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers say that their machine goes, and then the lane ends itself, so that Tune makes another one."""
    setup = _setup(tmp_path)
    source, heard = Heard(), []
    run = _Run(source, setup, lambda: 1, lambda *event: heard.append(event))  # type: ignore[arg-type]
    run.suggest("a")
    made = object.__new__(Lane)
    made._number, made._turn = 0, threading.Lock()
    made._workers = SimpleNamespace(join=lambda timeout_s: None, over=False)  # type: ignore[assignment]
    gone = worker._failure(DrainedError("it goes"))
    monkeypatch.setattr(Lane, "_receive", lambda lane: gone)
    told = made.step()
    assert not told["done"]
    assert run.observe(told)
    with pytest.raises(RuntimeError, match="the lane's workers left"):
        made.step()
    run.end("a", None, error=True)
    assert [failed[:2] for failed in source.failures] == [(0, "drained")]
    assert heard == [("start", 0), ("drained", 0)]
    run.suggest("b")
    run.end("b", None, error=True)
    assert [failed[1] for failed in source.failures] == ["drained", "lost"], "the next loss of it counts again"


def test_workers_whose_machine_was_taken_before_they_could_say_so_are_drained_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = PreemptionInfo(deadline_ms=0, preempted_node_to_ranks={"a": [0]})
    report = waiting_lane(lane.told(PreemptionError(info, drain_timed_out=True)), monkeypatch)._receive()
    assert report["cause"] == "drained"


def test_no_more_trials_are_asked_for_than_there_is_room_for(tmp_path: Path) -> None:
    setup = _setup(tmp_path)
    numbers, room = count(), [2]
    source = SimpleNamespace(ahead=False, suggest=lambda: Suggestion(next(numbers), {}, seed=0), fail=lambda *_: None)
    run = _Run(source, setup, lambda: room[0], lambda event, number: None)  # type: ignore[arg-type]
    asked = [run.suggest(name) for name in "abc"]
    assert [each is None for each in asked] == [False, False, True]
    room[0] = 1  # a node goes: what runs there ends first
    run.end("a", None, error=True)
    assert run.suggest("d") is None
    room[0] = 2
    assert run.suggest("e") is not None


def test_slow_trial_is_waited_for_while_it_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates 1 to 9 come 50 s apart, which is within a patience of 60 s, and then no more."""
    made, now_s = waiting_lane(None, monkeypatch), [0.0]

    def wait(answers: Any, timeout: float) -> Any:
        now_s[0] += 25.0
        return [], answers

    monkeypatch.setattr(lane.ray, "wait", wait)
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    made._number = 3
    made._board = SimpleNamespace(step=lambda place: (place, min(9, now_s[0] // 50)))  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no sign of life for 60 s"):
        made._receive()
    assert now_s[0] == pytest.approx(9 * 50 + 60, abs=25)


def test_time_and_patience_begin_once_workers_have_a_place_on_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that an autoscaler is to start, or that other jobs use, may take longer than any patience."""
    made, now_s = waiting_lane(None, monkeypatch), [0.0]

    class Waiting:
        ended, over = None, False

        @property
        def have_a_place(self) -> bool:
            return now_s[0] > 1000.0

    def wait(answers: Any, timeout: float) -> Any:
        now_s[0] += 25.0
        return [], answers

    monkeypatch.setattr(lane.ray, "wait", wait)
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    made._workers = Waiting()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no sign of life for 60 s"):
        made._receive()
    assert now_s[0] == pytest.approx(1000 + 60, abs=50)
    now_s[0], made._limit_s, made._ends_s, made._patience_s = 0.0, 210.0, 210.0, 1e9
    assert made.step()["report"]["cause"] == "timeout"
    assert now_s[0] == pytest.approx(1000 + 210, abs=50)
    assert made._waited_s == pytest.approx(1000, abs=25)


def test_wait_for_a_place_does_not_count_as_time_between_two_reports(tmp_path: Path) -> None:
    """Else workers that hang would be given ten times as long as a node once took to come."""
    numbers = count()
    source = SimpleNamespace(
        ahead=False,
        suggest=lambda: Suggestion(next(numbers), {}, seed=0),
        observe=lambda *_: True,
        complete=lambda *_: 0,
    )
    setup = replace(_setup(tmp_path), patience_s=60.0)
    run = _Run(source, setup, lambda: 1, lambda event, number: None)  # type: ignore[arg-type]
    run.suggest("a")
    run._spoke_s[0] -= 10_000.0
    report = {"step": 1, "metrics": {}}
    run.observe({"number": 0, "report": report, "waited_s": 9_990.0})
    run.end("a", {"report": {**report, "final": True}}, error=False)
    asked = run.suggest("b")
    assert isinstance(asked, dict)
    assert asked["patience_s"] == pytest.approx(100.0, abs=5.0)


def test_trials_that_run_end_before_it_is_told_that_nothing_is_left_to_suggest(tmp_path: Path) -> None:
    source = Few(2)
    source.ahead = False
    failed: list[int] = []
    source.fail = lambda number, *_: failed.append(number)  # type: ignore[attr-defined]
    run = _Run(source, _setup(tmp_path), lambda: 2, lambda event, number: None)  # type: ignore[arg-type]
    ended = {"report": {"final": True, "step": 1, "metrics": {}}}
    run.suggest("a")
    run.suggest("b")
    run.end("a", ended, error=False)
    assert [run.suggest("c"), run.suggest("c"), source.asked] == [None, None, 3], "trial 1 still runs"
    run.end("b", None, error=True)
    assert failed == [1]
    with pytest.raises(WorkError, match="nothing is left"):
        run.suggest("c")
    assert source.asked == 4, "a trial that was lost might have been suggested again"


class Few:
    """A source of so many trials, about which nothing that runs decides."""

    ahead = True

    def __init__(self, trials: int) -> None:
        self.numbers = iter(range(trials))
        self.asked = 0

    def suggest(self) -> Suggestion:
        self.asked += 1
        number = next(self.numbers, None)
        if number is None:
            raise WorkError("nothing is left")
        return Suggestion(number, {"method": "fake"}, seed=0)

    def complete(self, *told: Any) -> None:
        pass


def test_next_trial_is_chosen_while_the_lane_is_busy_and_an_end_of_the_space_is_told_later(tmp_path: Path) -> None:
    source = Few(2)
    run = _Run(source, _setup(tmp_path), lambda: 1, lambda event, number: None)  # type: ignore[arg-type]
    ended = {"report": {"final": True, "step": 1, "metrics": {}}}
    first = run.suggest("a")
    assert [run.suggest("b"), run.suggest("b"), source.asked] == [None, None, 2]
    run.end("a", ended, error=False)
    second = run.suggest("b")
    assert [config["suggestion"]["number"] for config in (first, second)] == [0, 1]  # type: ignore[index]
    assert source.asked == 2
    assert [run.suggest("c"), run.suggest("c"), source.asked] == [None, None, 3]
    run.end("b", ended, error=False)
    with pytest.raises(WorkError, match="nothing is left"):
        run.suggest("c")
