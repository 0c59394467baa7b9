"""Work that goes on: what stands in a log, and what on a terminal."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from raysearch.search.watching import works
from raysearch.search.watching.works import WorkLines, bars, said_if_slow, shown_here
from raysearch.training.monitoring.progress import Step, tell


def step(name: str, done: int) -> Step:
    return Step(name, done, 200, "updates", 2.31, rate=4.0)


def test_log_has_a_line_when_something_begins_and_every_half_minute() -> None:
    now, said = [0.0], []
    lines = WorkLines(said.append, lambda: now[0])
    lines.show({"teacher": step("training", 0)})
    now[0] = 29.0
    lines.show({"teacher": step("training", 100)})
    assert said == ["teacher: training 0/200 updates, loss 2.31, 4/s, 50 s left"]
    now[0] = 30.0
    lines.show({"teacher": step("training", 104)})
    lines.show({"teacher": step("head", 0)})
    assert [line.split(",")[0] for line in said[1:]] == [
        "teacher: training 104/200 updates",
        "teacher: head 0/200 updates",
    ]


def test_terminal_has_a_bar_with_loss_speed_and_time_left() -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(bars({"trial 3": step("training", 100), "trial 2": Step("label set: labels", 0, 9, "cuts")}))
    first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.split() == ["trial", "2", "label", "set:", "labels", "0/9"]
    # Without colours the part that is done is drawn alone.
    assert second.count("━") == 10
    assert second.split()[:3] == ["trial", "3", "training"]
    assert second.split()[-7:] == ["100/200", "loss", "2.31", "4/s", "25", "s", "left"]


def test_work_of_this_process_is_said_where_there_is_no_terminal() -> None:
    said: list[str] = []
    with shown_here("labels", said.append):
        tell("label set: labels", 0, 600, "cuts")
        tell("label set: labels", 600, 600, "cuts")
    assert said == ["labels: label set: labels 0/600 cuts"]


def test_work_that_counts_nothing_speaks_only_when_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    said, spoke = [], threading.Event()

    def say(line: str) -> None:
        said.append(line)
        spoke.set()

    with said_if_slow("corpus: reading an4", say):
        pass
    assert said == []
    monkeypatch.setattr(works, "SLOW_S", 0.0)
    with said_if_slow("corpus: reading an4", say):
        assert spoke.wait(20)
    assert said == ["corpus: reading an4"]
