"""The loop that runs on each Ray Train worker of a lane. It takes order after order from the lane's mailbox.

The worker speaks with the lane. The trial itself is put together and trained by the `Workplace`, which knows nothing of
Ray. It keeps corpus and teacher in memory from one trial to the next, and label sets in the store.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
import yaml
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import get_device

from raysearch.errors import InputError, WorkError
from raysearch.files.disk import full_disk
from raysearch.files.remote import Remote
from raysearch.lanes.board import board_of
from raysearch.lanes.flights import one_at_a_time
from raysearch.lanes.mailbox import GO
from raysearch.lanes.source import DRAINED, NOTICE_S
from raysearch.lanes.workplace import Workplace
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import STORE, Store
from raysearch.tasks.table import load_task
from raysearch.teachers.heads import judge_teacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.loop import DivergedError
from raysearch.training.monitoring.limit import DrainedError, OverTimeError, limited
from raysearch.training.monitoring.spent import Spent, read_spent
from raysearch.training.process import gathered
from raysearch.training.report import REPORT_NAME, Report


def serve_lane(config: dict[str, Any]) -> None:
    """The loop of one worker: runs orders until the mailbox holds None in place of one.

    Of several workers only the one of rank 0 reads the mailbox and writes to it; the others hear from it.
    """
    setup = config["setup"]
    post, machines = _Post(config["mailbox"]), _Machines()
    workplace = _workplace(setup, get_device())
    board = board_of(setup["folder"], setup["uri"])
    order = post.receive()
    while order is not None:
        if machines.go():
            post.send(_failure(DrainedError("its machine goes, before the trial began")))
            return
        spent, began = Spent(order["spent_s"], order["cpu_s"]), Spent.now()
        answer, owed = GO, True  # a report is owed from the order, or from GO, until it is sent
        try:
            with (
                board.posting(f"trial {order['number']}") if post.first else nullcontext(),
                limited(lambda: _is_over(order["limit_s"], spent + Spent.now() - began), machines.go),  # noqa: B023
            ):
                for report in _reports(workplace, order, setup):
                    spent += Spent.now() - began
                    metrics = {**report.metrics, **_metrics(spent)}
                    post.send({"step": report.step, "metrics": metrics, "final": report.final})
                    owed = False
                    if report.final or (answer := post.receive()) != GO:
                        break
                    # A trial is not charged for the time in which it waits for the lane's answer.
                    owed, began = True, Spent.now()
        except Exception as err:  # whatever a method raises ends its trial only, and the lane lives on
            # A trial that has ended already, or was taken away, must not speak in the name of the next.
            if owed:
                post.send(_failure(err))
            if isinstance(err, DrainedError):
                return  # the lane gets other workers, on other machines
        order = post.receive() if answer == GO else answer


def _is_over(limit_s: float | None, spent: Spent) -> bool:
    return limit_s is not None and spent.seconds > limit_s


def _metrics(spent: Spent) -> dict[str, float]:
    """What a trial has taken so far, as metrics of it."""
    return {"cost/seconds": round(spent.seconds, 3), "cost/cpu_seconds": round(spent.cpu_seconds, 3)}


class _Machines:
    """Says whether a machine of this lane's workers is about to go. All of them must ask, and all get one answer."""

    def __init__(self) -> None:
        self._alone = train.get_context().get_world_size() == 1
        self._asked_s = -math.inf
        self._go = False

    def go(self) -> bool:
        # Each question waits for another process, and Ray Train itself looks no more often than this. Workers that are
        # several must ask equally often, which their clocks do not promise.
        if not self._alone or time.monotonic() - self._asked_s >= NOTICE_S:
            self._asked_s = time.monotonic()
            self._go = train.get_preemption_info() is not None
        return self._go


def train_teacher(config: dict[str, Any]) -> None:
    """Trains the teacher of the search document into the store, and judges it, unless that is there.

    It needs no Ray Train.
    """
    setup = config["setup"]
    workplace = _workplace(setup, _own_device(setup))
    spec, corpus, store, device = workplace.spec, workplace.corpus, workplace.store, workplace.device
    with board_of(setup["folder"], setup["uri"]).posting("teacher"):
        folder = prepare_teacher(spec.teacher, corpus, store.teachers, device)
        tasks = [load_task(task) for task in spec.teacher_tasks]
        judge_teacher(tasks, folder, corpus, store.heads, device, spec.search.seed)


def train_shared(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Trains what all trials of a method share into the store, unless it is there, for each method of the document.

    Returns of each training the fields of a `SharedTraining`. It needs no Ray Train, as `train_teacher`.
    """
    setup = config["setup"]
    workplace = _workplace(setup, _own_device(setup))
    with board_of(setup["folder"], setup["uri"]).posting("shared"):
        prepared = {
            method: workplace.prepare(method, Path(setup["folder"]), setup["precision"])
            for method in workplace.spec.sharing
        }
    spent = {method: read_spent(folder) for method, folder in prepared.items()}
    return [
        {"method": method, "digest": folder.name, **(asdict(took) if (took := spent[method]) else {})}
        for method, folder in prepared.items()
    ]


def _own_device(setup: dict[str, Any]) -> torch.device:
    # Ray shows a process no other GPUs than its own.
    return torch.device("cuda" if setup["use_gpu"] else "cpu")


def _workplace(setup: dict[str, Any], device: torch.device) -> Workplace:
    """The workplace of this process."""
    torch.set_num_threads(max(1, setup["cpus"]))
    spec = parse_spec(yaml.safe_load(setup["spec"]), where="spec.yaml")
    uri = f"{setup['uri']}/{STORE}" if setup["uri"] else ""
    store = Store(Path(setup["store"]), uri, one_at_a_time)
    # A node that joined later has a copy of nothing yet: it fetches the teacher from the URI.
    teacher = Path(setup["teacher"])
    if uri and setup["teacher"] and not teacher.exists():
        store.teachers.get(teacher.name)
    return Workplace(spec, store, teacher, device)


def _reports(workplace: Workplace, order: dict[str, Any], setup: dict[str, Any]) -> Iterator[Report]:
    """Trains one trial and yields its reports.

    Where searches lie at a URI, the trial's folder is fetched first, and written back before each report is yielded:
    whoever hears of a report must find its checkpoint. So it is if the trial is ended from outside.
    """
    number, config = order["number"], {**order["config"], **order["overrides"]}
    name = f"trials/{number:04d}"
    folder = Path(setup["folder"], name)
    remote = Remote(f"{setup['uri']}/{Path(setup['folder']).name}") if setup["uri"] else None
    trained_by = None if order["trained_by"] is None else folder.with_name(f"{order['trained_by']:04d}")
    if remote:
        _fetch(remote, folder, trained_by)
    if trained_by is None:
        reports = workplace.run(number, config, order["seed"], folder, setup["precision"])
    else:
        reports = workplace.judge_again(config, folder, trained_by)
    first = remote is not None and train.get_context().get_world_rank() == 0
    try:
        for report in reports:
            if remote and first:
                remote.push(folder, name)
            yield report
    except (OverTimeError, DrainedError):
        if remote and first:  # the trial goes on from the checkpoint that was just written
            remote.push(folder, name)
        raise


def _fetch(remote: Remote, folder: Path, trained_by: Path | None) -> None:
    """Fetches the folder of a trial, and that of the trial which trained its student, if another node did.

    The first process of each node does so while the others wait: they have these folders in common.
    Raises: WorkError in all of them if one could not.
    """
    failed: dict[str, str] = {}
    if train.get_context().get_local_rank() == 0:
        try:
            if remote.files(f"trials/{folder.name}"):
                shutil.rmtree(folder, ignore_errors=True)
                remote.pull(f"trials/{folder.name}", folder)
            if trained_by and not (trained_by / REPORT_NAME).exists():
                remote.pull(f"trials/{trained_by.name}", trained_by)
        except (OSError, WorkError) as err:
            failed[folder.name] = str(err)
    # Whoever did not hear of it would begin to train, and wait for a process that does not.
    if failed := gathered(failed):
        raise WorkError(f"trial {folder.name}: {'; '.join(failed.values())}")


class _Post:
    """The mailbox as the workers of one lane use it together: all of them receive what rank 0 has read."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        context = train.get_context()
        self.first = context.get_world_rank() == 0
        self._alone = context.get_world_size() == 1
        self._next = mailbox.first.remote() if self.first else None

    def receive(self) -> Any:
        message = ray.get(self._next) if self.first else None
        return message if self._alone else broadcast_from_rank_zero(message)

    def send(self, message: dict[str, Any]) -> None:
        if self.first:
            # The lane's answer, which is received next, is on its way as soon as there is one.
            self._next = self._mailbox.answer.remote(message)


def _failure(err: Exception) -> dict[str, Any]:
    """The report of a trial that broke. Where the machine goes, the workers leave with it."""
    leaves = isinstance(err, DrainedError)
    return {"cause": _cause(err), "error": _last_words(err), "metrics": {}, "leaves": leaves}


def _cause(err: Exception) -> str:
    """The kind of a failure in one word. The searcher decides by it whether, and how, the trial is tried again."""
    if isinstance(err, DivergedError):
        return "nan"
    if isinstance(err, OverTimeError):
        return "timeout"
    if isinstance(err, DrainedError):
        return DRAINED
    if isinstance(err, torch.OutOfMemoryError | MemoryError):
        return "oom"
    if full_disk(err):
        return "disk"
    return "input" if isinstance(err, InputError) else "user"


def _last_words(err: Exception) -> str:
    """What is kept of an error: one line where the cause is known, else the traceback, which its user must debug."""
    if full := full_disk(err, "a checkpoint"):
        return full
    if isinstance(err, InputError | DivergedError | OverTimeError | DrainedError):
        return str(err)
    return "".join(traceback.format_exception(err)).replace(os.getcwd() + os.sep, "")
