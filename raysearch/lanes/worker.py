"""What runs on a lane's Ray Train workers: order after order, with corpus, teacher and label sets kept warm."""

from __future__ import annotations

import errno
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import torch
import yaml
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from safetensors import SafetensorError

from raysearch.errors import InputError
from raysearch.files.remote import Remote
from raysearch.lanes.flights import one_at_a_time
from raysearch.lanes.mailbox import STOP
from raysearch.lanes.workplace import Workplace
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import STORE, Store
from raysearch.teachers.store import prepare_teacher
from raysearch.training.loop import DivergedError
from raysearch.training.report import Report


def serve_lane(config: dict[str, Any]) -> None:
    """The loop of one worker. Rank 0 reads the mailbox; the others hear from it."""
    setup = config["setup"]
    workplace = _workplace(setup)
    post = _Post(config["mailbox"])
    while (order := post.receive()) is not None:
        spent_s, began_s = order["spent_s"], time.monotonic()
        try:
            for report in _reports(workplace, order, setup):
                spent_s += time.monotonic() - began_s
                metrics = {**report.metrics, "cost/seconds": round(spent_s, 3)}
                post.send({"step": report.step, "metrics": metrics, "final": report.final})
                if report.final or post.receive() == STOP:
                    break
                # The time between two reports is the trial's; the time until the lane says go is not.
                began_s = time.monotonic()
        except Exception as err:  # a trial's failure is the trial's: the lane lives on
            post.send({"cause": _cause(err), "error": _last_words(err), "metrics": {}})


def train_teacher(config: dict[str, Any]) -> None:
    """Train the spec's teacher into the store, unless it is there."""
    setup = config["setup"]
    workplace = _workplace(setup)
    prepare_teacher(workplace.spec.teacher, workplace.corpus, workplace.store.teachers, workplace.device)


def _workplace(setup: dict[str, Any]) -> Workplace:
    torch.set_num_threads(max(1, setup["cpus"]))
    device = train.torch.get_device()
    spec = parse_spec(yaml.safe_load(setup["spec"]), where="spec.yaml")
    uri = f"{setup['uri']}/{STORE}" if setup["uri"] else ""
    store = Store(Path(setup["store"]), uri, one_at_a_time)
    # A node that joined later has a copy of nothing yet.
    teacher = Path(setup["teacher"])
    if uri and setup["teacher"] and not teacher.exists():
        store.teachers.get(teacher.name)
    return Workplace(spec, store, teacher, device)


def _reports(workplace: Workplace, order: dict[str, Any], setup: dict[str, Any]) -> Iterator[Report]:
    """Of one trial; at a URI its folder is fetched first, and written back before each report is heard of."""
    number, config = order["number"], {**order["config"], **order["overrides"]}
    name = f"trials/{number:04d}"
    folder = Path(setup["folder"], name)
    remote = Remote(f"{setup['uri']}/{Path(setup['folder']).name}") if setup["uri"] else None
    if remote and remote.files(name):
        shutil.rmtree(folder, ignore_errors=True)
        remote.pull(name, folder)
    for report in workplace.run(number, config, order["seed"], folder, setup["precision"]):
        if remote and train.get_context().get_world_rank() == 0:
            remote.push(folder, name)
        yield report


class _Post:
    """The mailbox, as a worker group uses it."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        context = train.get_context()
        self._first = context.get_world_rank() == 0
        self._alone = context.get_world_size() == 1

    def receive(self) -> Any:
        message = ray.get(self._mailbox.get.remote("down")) if self._first else None
        return message if self._alone else broadcast_from_rank_zero(message)

    def send(self, message: dict[str, Any]) -> None:
        if self._first:
            # Not waited for: what comes next is waiting for the lane.
            self._mailbox.put.remote("up", message)


def _cause(err: Exception) -> str:
    if isinstance(err, DivergedError):
        return "nan"
    if isinstance(err, torch.OutOfMemoryError | MemoryError):
        return "oom"
    if _disk_is_full(err):
        return "disk"
    return "input" if isinstance(err, InputError) else "user"


def _disk_is_full(err: Exception) -> bool:
    if isinstance(err, OSError):
        return err.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors has no error number, only the system's words.
    return isinstance(err, SafetensorError) and os.strerror(errno.ENOSPC) in str(err)


def _last_words(err: Exception) -> str:
    """One line for what users caused, the traceback for what they must debug."""
    if _disk_is_full(err):
        return f"disk full while writing {getattr(err, 'filename', None) or 'a checkpoint'}"
    if isinstance(err, InputError | DivergedError):
        return str(err)
    return "".join(traceback.format_exception(err)).replace(os.getcwd() + os.sep, "")
