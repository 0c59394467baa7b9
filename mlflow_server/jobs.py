"""Registers a candidate as `raysearch pick --register` does, by running just that: one process at a time for a model.

What is known of a job lies in files beside the searches, so that every worker of the server sees it, and a browser that
comes back. A job holds a lock on its own log as long as it runs, so that one which was killed is known to have ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.settings import Settings

FOLDER = "_registering"
"""Folder beside the searches that holds what is known of jobs."""
MOST_AT_ONCE = 2
"""The most jobs that run at the same time: each exports and measures a model, and takes a core."""
LONGEST_LINE = 300
COMMAND = (sys.executable, "-m", "raysearch.cli")


class Order(Settings):
    """What a job is to register."""

    run_id: str
    """Id of the search's own run."""
    search: str
    trial: int
    model: str
    alias: str

    @property
    def words(self) -> list[str]:
        """The arguments of the command that does it."""
        return [
            "pick", self.search, "--trial", str(self.trial), "--register", self.model, "--alias", self.alias, "--json",
        ]  # fmt: skip


class Job(Settings):
    """A job as the page shows it."""

    order: Order
    began_s: float
    """Unix time in seconds."""
    state: Literal["running", "done", "failed"]
    line: str
    """What it does now, how it failed, or the address of the version that it made."""
    version: int | None = None


class Jobs:
    """The jobs on the searches that lie in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER

    def start(self, order: Order, tracking: str, environment: Mapping[str, str]) -> Job:
        """Starts a job, whose process speaks to the MLflow at `tracking`. `environment` is added to this process's own.

        Raises: InputError if a job of the same model or trial runs, or too many do.
        """
        self.folder.mkdir(exist_ok=True)
        with self._alone():
            self._check_free(order)
            place = self._place(order.model)
            place.with_suffix(".out").unlink(missing_ok=True)
            command = [*COMMAND, *order.words, "--storage", str(self.root), "--tracking", tracking]
            with open(place.with_suffix(".log"), "wb") as log, open(place.with_suffix(".out"), "wb") as out:
                # The process inherits the file, and with it the lock.
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=log,
                    cwd=self.folder,
                    env={**os.environ, **environment},
                )
            # Waited for in a thread, since a process that nobody waits for stays in the system's table.
            threading.Thread(target=process.wait, daemon=True).start()
            place.write_text(json.dumps({"order": order.model_dump(), "began_s": time.time()}), encoding="utf-8")
        return self._read(place)

    def of(self, run_id: str) -> list[Job]:
        """The jobs of a search, the latest first: of each model the last one."""
        return [job for job in self._all() if job.order.run_id == run_id]

    def _all(self) -> list[Job]:
        jobs = [self._read(place) for place in self.folder.glob("*.json")]
        return sorted(jobs, key=lambda job: job.began_s, reverse=True)

    def _check_free(self, order: Order) -> None:
        running = [job for job in self._all() if job.state == "running"]
        for job in running:
            other = job.order
            if other.model == order.model or (other.search, other.trial) == (order.search, order.trial):
                raise InputError(
                    f"{order.model}: trial {other.trial} of {other.search} is being registered as "
                    f"{other.model}@{other.alias}; expected no other job of this model or trial: wait until it ends"
                )
        if len(running) >= MOST_AT_ONCE:
            raise InputError(f"{order.model}: {len(running)} models are being registered; expected fewer: wait for one")

    def _place(self, model: str) -> Path:
        return self.folder / f"{content_digest(model)}.json"

    def _read(self, place: Path) -> Job:
        kept = json.loads(place.read_text(encoding="utf-8"))
        lines = place.with_suffix(".log").read_text(encoding="utf-8", errors="replace").split("\n")
        line = next((line.strip()[:LONGEST_LINE] for line in reversed(lines) if line.strip()), "")
        if _is_locked(place.with_suffix(".log")):
            return Job(**kept, state="running", line=line or "starting")
        made = _registered(place.with_suffix(".out"))
        if made is None:
            return Job(**kept, state="failed", line=line or "ended without a word")
        return Job(**kept, state="done", line=made["uri"], version=made["version"])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within the block no other worker of the server starts a job."""
        with open(self.folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_locked(log: Path) -> bool:
    with open(log, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _registered(out: Path) -> dict[str, Any] | None:
    """What `pick --json` said it has registered; None if it did not come so far."""
    try:
        (picked,) = json.loads(out.read_text(encoding="utf-8"))["picks"]
        return dict(picked["registered"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
