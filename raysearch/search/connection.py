"""Ray, for as long as a search needs it: a cluster that somebody named, or one of our own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import mkdtemp
from typing import Any

import ray

from raysearch.errors import WorkError

TMPDIR = "RAY_TMPDIR"
STARTS = 3
"""Attempts: Ray gives a node half a minute to start, which a busy machine may need more than once."""
SLOW = "timed out during startup"


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """Whether the cluster is one of our own, which nobody else adds nodes to."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # Ctrl-C must reach us: the study is the state worth keeping, not Tune's.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    if address is not None or os.environ.get("RAY_ADDRESS"):
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        try:
            yield False
        finally:
            ray.shutdown()
        return
    with _own_folder():
        _start(
            # "local": a Ray of our own even where one is running, which nobody named.
            address="local",
            include_dashboard=False,
            # Trials exchange messages, not tensors: a small object store is plenty and leaves memory to them.
            object_store_memory=256 * 2**20,
            # Ray expects one process a core and warns of more; a lane's are mostly asleep.
            _system_config={"worker_maximum_startup_concurrency": 16},
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            yield True
        finally:
            ray.shutdown()


def _start(**settings: Any) -> None:
    """Raises: WorkError if Ray does not start."""
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(**settings)
            return
        except Exception as err:  # Ray raises nothing narrower
            ray.shutdown()
            if SLOW not in str(err) or attempt == STARTS:
                load = f"load average {os.getloadavg()[0]:.0f}"
                raise WorkError(f"Ray did not start, attempt {attempt} of {STARTS} ({load}): {err}") from err


@contextmanager
def _own_folder() -> Iterator[None]:
    """A folder of its own for an embedded Ray's sockets and logs, removed after it.

    Ray Train's cleaner asks "the" Ray of the machine whether its controller lives; where another one is running it
    would ask that, hear no, and end our workers. With a folder of its own, each Ray finds itself.
    """
    before = os.environ.get(TMPDIR)
    folder = mkdtemp(prefix="raysearch-", dir=before)
    os.environ[TMPDIR] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[TMPDIR]
        else:
            os.environ[TMPDIR] = before
        shutil.rmtree(folder, ignore_errors=True)
