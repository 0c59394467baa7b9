"""Drives a search that trains nothing, and kills itself in the middle of a write, again and again.

Run as a program it prints what is left of the search in the end, and how often it was killed. Each life is a process of
its own, forked from this one, which itself never touches the study.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np

from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.storage.lease import Lease
from raysearch.storage.studies import open_storage
from tests.search.made_up import ABOUT, DOCUMENT, TEACHER, run, spec_with

TRIALS = 12
LONGEST = 300
"""Lines of these functions in the longest life: a trial takes some 250."""
WRITES = {
    "storage/lock.py": {"acquire", "release", "_wait", "_take", "_give_back"},
    "storage/journal.py": {"together", "append_logs", "_cut_back"},
    "journal/_file.py": {"append_logs"},
    "storage/database.py": {"wait_for"},
    "_rdb/storage.py": {"_create_scoped_session", "create_new_study", "create_new_trial", "delete_study"}
    | {f"set_{kept}" for kept in ("study_user_attr", "trial_param", "trial_user_attr", "trial_state_values")},
}
"""Functions that hold the lock of a study or write it, by the end of their file's name. A life ends in one of them."""


def drive(storage: str, name: str) -> None:
    """What a driver does. Nothing is trained: errors follow from settings."""
    spec = spec_with(name=name, search={**DOCUMENT["search"], "trials": TRIALS, "sampler": "random"})
    lease = Lease.take(open_storage(storage), name)
    run(Searcher(spec, _study(storage, spec), TEACHER, trials=TRIALS, say=lambda _: None))
    lease.release()


def _study(storage: str, spec: Spec) -> Study:
    try:
        study = Study.open(storage, spec.name)
    except KeyError:
        return Study.create(storage, spec.name, spec.objectives, ABOUT)
    study.fill(spec.objectives, ABOUT)
    return study


def outcome(storage: str, name: str) -> list[Any]:
    """Of each trial that was not refused its number, settings, state, cause of failure and error."""
    records = [record for record in Study.open(storage, name).records() if record.state != "infeasible"]
    return [[r.number, dict(r.config), r.state, r.cause, r.metrics.get("eval/per")] for r in records]


@cache
def _writes(file: str) -> set[str]:
    """The functions of a file in which a life may end. Cached, as every call of any function asks for them."""
    return set().union(*(names for end, names in WRITES.items() if file.endswith(end)))


def _die_after(lines: int) -> None:
    left = lines

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_name not in _writes(frame.f_code.co_filename):
            return None
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    sys.settrace(count)


def in_a_fork(work: Callable[[], None]) -> bool:
    """Whether the work was done. False if its process was killed."""
    if pid := os.fork():
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return not os.WIFSIGNALED(status)
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _killed_drive(storage: str, lines: int) -> None:
    _die_after(lines)
    drive(storage, "killed")


if __name__ == "__main__":
    storage, lives = sys.argv[1], int(sys.argv[2])
    rng, killed = np.random.default_rng(0), 0
    if "://" in storage:
        # What SQLAlchemy makes ready on its first use, no life need make ready again under the trace.
        with TemporaryDirectory() as folder:
            drive(f"sqlite:///{folder}/studies.db", "first")
    for _ in range(lives):
        killed += not in_a_fork(lambda: _killed_drive(storage, int(rng.integers(1, LONGEST))))
    for name in ("killed", "whole"):
        assert in_a_fork(lambda name=name: drive(storage, name))
    print(json.dumps({"lives": killed} | {name: outcome(storage, name) for name in ("killed", "whole")}))
