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

APART = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}
"""The environment of an embedded Ray: a dashboard that nobody runs, since it has none.

Ray Train's cleaner asks a dashboard whether its controller lives. Without an address it looks for one among the
processes of the machine; another Ray's knows no such controller, and our workers are ended.
"""
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
    with _own_folder() as folder, _environment(APART | {TMPDIR: folder}):
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
def _own_folder() -> Iterator[str]:
    """A folder of its own for an embedded Ray's sockets and logs, removed after it."""
    folder = mkdtemp(prefix="raysearch-", dir=os.environ.get(TMPDIR))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
