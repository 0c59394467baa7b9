"""Lanes: warm groups of Ray Train workers that run trial after trial, driven by Ray Tune.

Ray's own pattern is a TorchTrainer inside each trial. Every trial then starts processes, imports torch, and loads
corpus and teacher anew. A lane does this once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher
from ray.widgets.util import in_notebook

from raysearch.cluster.orphans import remove_orphans
from raysearch.errors import WorkError
from raysearch.files.disk import is_full
from raysearch.lanes.lane import Lane, LaneSetup
from raysearch.lanes.places import Places
from raysearch.lanes.room import Room
from raysearch.lanes.source import DRAINED, Source, Suggestion
from raysearch.lanes.waiting import wait_for

PATIENCE = 10
"""A lane's workers count as hung after so many times the longest time that was seen between two reports, without a sign
of life.
"""
SWEEP_S = 5.0
"""Seconds between two looks at what lanes that died have left behind."""
SWEEPS = 6
"""Every so many looks it is seen to what whole drivers have left behind, for which all jobs of the cluster are read."""
HARD_LIMIT, HARD_LIMIT_MORE_S = 1.5, 120.0
"""A trial ends itself when its time is over, at its next line of the curve. Whoever does not, because it hangs or is
being judged, is ended with its workers after so many times its limit and so many seconds more."""
# Lanes only pass messages. They live on the head node, beside the driver, and take no CPU from the workers.
LANE_RESOURCES = [{"node:__internal_head__": 0.001}]


class _TuneSearcher(TuneSearcher):  # type: ignore[misc]
    """What Tune takes for its searcher: it hands all questions to the run, and has no state to save."""

    def __init__(self, run: _Run) -> None:
        super().__init__(metric="number", mode="min")
        self._run = run

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._run.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._run.end(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        return

    def restore(self, checkpoint_path: str) -> None:
        return


class _TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    """What Tune takes for its scheduler: the run decides at each report whether a trial goes on."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        goes_on = self._run.observe(result)
        decision: str = TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return decision


class _Run:
    """Joins Tune's trial ids with the study's trial numbers while a search runs, and watches how long reports take.

    It also says how many trials run at once: Tune asks for one more whenever all that it has are placed.
    """

    def __init__(
        self, source: Source, setup: LaneSetup, room: Callable[[], int], heard: Callable[[str, int], None]
    ) -> None:
        self._source = source
        self._room = room
        self._patience_s = setup.patience_s
        self._folder = Path(setup.folder)
        self._heard = heard
        self._running: dict[str, Suggestion] = {}
        self._spoke_s: dict[int, float] = {}
        self._longest_s = 0.0
        self._leaving: dict[int, tuple[str, str]] = {}
        """Why lanes are about to end themselves, by the number of the trial that each has."""
        self._next: Suggestion | None = None
        """The trial that was suggested ahead and begins once there is room."""
        self._stuck: WorkError | None = None
        """Why nothing more can be suggested. It is raised once nothing runs: what runs should end."""
        self.over = False
        """Whether nobody waits any more: then nothing is suggested or taken in."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        # Tune pickles its searcher in order to restore it. We resume from the study instead, so an empty
        # object goes in the place of all that.
        return object, ()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if len(self._running) >= self._room() and not self.over:
            self._look_ahead()
            return None
        suggestion, self._next = (None if self.over else self._next or self._suggested()), None
        if suggestion is None:
            # A running trial may still be lost and come back as a retry, so the search ends only when none runs.
            # To None, Tune answers by asking again later.
            return None if self._running and not self.over else TuneSearcher.FINISHED
        self._running[trial_id] = suggestion
        self._spoke_s[suggestion.number] = time.monotonic()
        self._heard("start", suggestion.number)
        patience_s = max(self._patience_s, PATIENCE * self._longest_s)
        limit_s = _hard_limit_s(suggestion)
        return {"suggestion": asdict(suggestion), "patience_s": patience_s, "hard_limit_s": limit_s}

    def _look_ahead(self) -> None:
        """Chooses the next trial while all lanes are busy and this process has time, if no result decides about it."""
        if self._next is None and self._stuck is None and self._source.ahead:
            self._next = self._suggested()

    def _suggested(self) -> Suggestion | None:
        """The source's next trial. Raises: WorkError if nothing is left to suggest, and no trial runs."""
        try:
            if self._stuck is None:
                return self._source.suggest()
        except WorkError as err:
            self._stuck = err
        if self._stuck and not self._running:
            raise self._stuck
        return None

    def observe(self, result: dict[str, Any]) -> bool:
        if self.over:
            return False
        number, report = result["number"], _unflatten(result)
        if report.get("leaves"):  # the lane ends itself next, and Tune hears of that only as of an error
            self._leaving[number] = (report["cause"], report["error"])
            return True
        now_s = time.monotonic()
        self._longest_s = max(self._longest_s, now_s - self._spoke_s[number] - result["waited_s"])
        self._spoke_s[number] = now_s
        goes_on = self._source.observe(number, report["step"], report["metrics"])
        self._heard("rung" if goes_on else "stop", number)
        return goes_on

    def end(self, trial_id: str, result: dict[str, Any] | None, error: bool) -> None:
        suggestion = self._running.pop(trial_id, None)
        if suggestion is None or self.over:
            return
        number = suggestion.number
        report = _unflatten(result) if result else {}
        told = self._broken() if error else (report.get("cause"), report.get("error", ""))
        cause, why = self._leaving.pop(number, told)
        if cause == "disk":
            # Nothing begins before there is room. A trial that was chosen ahead waits in the study for the resume.
            self._next = None
        if cause:
            self._source.fail(number, cause, why)
            self._stuck = None  # it may be suggested again
        elif report.get("final"):
            self._source.complete(number, report["step"], report["metrics"])
        self._heard(DRAINED if cause == DRAINED else "end", number)

    def _broken(self) -> tuple[str, str]:
        """Why a trial's lane is lost, which could not say so itself."""
        if is_full(self._folder):
            return "disk", f"disk full while writing below {self._folder}"
        return "lost", "its workers were lost too often"


def _hard_limit_s(suggestion: Suggestion) -> float | None:
    """Seconds after which a lane ends a trial whose workers do not. None without a limit."""
    if suggestion.limit_s is None:
        return None
    return HARD_LIMIT * max(0.0, suggestion.limit_s - suggestion.spent_s) + HARD_LIMIT_MORE_S


def _unflatten(result: dict[str, Any]) -> dict[str, Any]:
    """The report in a Tune result.

    Tune joins nested keys by slashes. Our metric names hold slashes too, so the keys cannot simply be split again.
    """
    if "report" in result:
        found: dict[str, Any] = result["report"]
        return found
    report: dict[str, Any] = {"metrics": {}}
    for key, value in result.items():
        if key.startswith("report/metrics/"):
            report["metrics"][key.removeprefix("report/metrics/")] = value
        elif key.startswith("report/"):
            report[key.removeprefix("report/")] = value
    return report


def last_line(record: logging.LogRecord) -> bool:
    """Shortens Tune's log record of a lost lane to one line; used as a filter of its logger.

    Tune logs a long traceback through Ray's own code, of which only the last line says what was lost.
    """
    if record.exc_info and record.exc_info[1]:
        lines = str(record.exc_info[1]).strip().splitlines()
        record.msg, record.args = "%s: %s", (record.getMessage(), lines[-1] if lines else "")
        record.exc_info = record.exc_text = None
    return True


class _Silence(tune.ProgressReporter):
    """Reports nothing. In a notebook Tune's own reporter would clear what the search has said."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False


def _sweeping(tick: Callable[[], None], places: Places) -> Callable[[], None]:
    """A tick that also gives back, every few seconds, what lanes and drivers that died had reserved."""
    swept_s, sweeps = time.monotonic(), 0

    def both() -> None:
        nonlocal swept_s, sweeps
        tick()
        if time.monotonic() - swept_s >= SWEEP_S:
            swept_s = time.monotonic()
            # If Ray itself is gone, the next tick says so.
            with contextlib.suppress(Exception):
                places.give_back()
                if sweeps % SWEEPS == 0:
                    remove_orphans()
            sweeps += 1

    return both


def run_lanes(
    source: Source,
    setup: LaneSetup,
    room: Room,
    heard: Callable[[str, int], None],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Runs trials until the source has no more, on as many lanes as there is room for.

    `heard(event, number)` is called after each `start`, `rung`, `stop`, `drained` and `end` of a trial, in another
    thread than this one, in which `tick` is called every half a second.
    """
    run = _Run(source, setup, room.look, heard)
    tuner = tune.Tuner(
        # As a parameter, the setup goes to each lane once. In a trial's configuration it would go with every trial,
        # and Tune would write it down each time.
        tune.with_resources(tune.with_parameters(Lane, setup=setup), tune.PlacementGroupFactory(LANE_RESOURCES)),
        tune_config=tune.TuneConfig(
            search_alg=_TuneSearcher(run),
            scheduler=_TuneScheduler(run),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=setup.ray_storage,
            name=f"lanes-{os.urandom(4).hex()}",
            # A lane has nothing to save, and to be asked for it takes as long as a report.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
            progress_reporter=_Silence() if in_notebook() else None,
        ),
    )
    logging.getLogger("ray.tune.execution.tune_controller").addFilter(last_line)
    # The source retries lost lanes, so the error with which Tune sums them up would only alarm.
    # Tune also prints to stdout, whatever its verbosity, and stdout is for data.
    with contextlib.suppress(tune.error.TuneError), contextlib.redirect_stdout(io.StringIO()):
        try:
            wait_for(tuner.fit, _sweeping(tick, Places(setup.folder)))
        except BaseException:
            # Tune goes on in its thread until its Ray is gone. Nothing that it sees there is the trials' fault.
            run.over = True
            raise
