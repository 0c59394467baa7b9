"""Finds out whether a cluster is fit for a search.

Every node answers the same question. Each finding is one line, and a bad one says what to do about it.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.cluster.node_report import NodeReport, Question, make_report, read_notes, remove_notes, write_note
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.imports.torchaudio_library import FIX
from raysearch.errors import AwayError, InputError
from raysearch.files.secrets import masked
from raysearch.storage.provenance import versions
from raysearch.storage.studies import open_storage

ANSWER_S = 90.0
"""Seconds after which a node that has not answered counts as absent. Starting a process and importing torch is slow."""
LEAST_FREE_GB = 5.0
"""Free gigabytes that each disk must have."""
MOST_SKEW_S = 5.0
"""Seconds by which a node's clock may be off.

A driver counts as dead after a minute of silence, by the clock of whoever asks: a clock far off would mislead.
"""
RECORDINGS = 4
"""How many recordings of each split every node must be able to read."""


@dataclass(frozen=True)
class Finding:
    """One line of `raysearch doctor`."""

    check: str
    """What was looked at, in a word."""
    ok: bool
    """Whether a search may begin as far as this goes."""
    found: str
    """What was found, in good cases too."""
    fix: str = ""
    """What to do about a bad finding; empty for a good one."""

    def __str__(self) -> str:
        line = f"{'ok  ' if self.ok else 'FAIL'}  {self.check:10s}  {self.found}"
        return line if self.ok else f"{line}; fix: {self.fix}"


@dataclass(frozen=True)
class Answer:
    """The report of a node, with the driver's clock before and after."""

    report: NodeReport
    """What the node says of itself."""
    asked_s: float
    """Unix time in seconds at which the driver asked."""
    answered_s: float
    """Unix time in seconds at which the driver had the report."""

    @property
    def skew_s(self) -> float:
        """Seconds by which the node's clock is off at least: it was read between the question and the answer."""
        clock_s = self.report.clock_s
        return max(self.asked_s - clock_s, clock_s - self.answered_s, 0.0)


def examine(storage: str, corpus: Callable[[], Corpus] | None, *, tracking: str, study: str) -> list[Finding]:
    """Findings on the cluster that Ray is connected to.

    `storage` is the folder or URI of searches, `tracking` the MLflow tracking URI, `study` a database URL or empty.
    Where `corpus` is given, it is read here, and every node must be able to read some of its recordings.
    """
    token = f".doctor-{os.urandom(4).hex()}"
    recordings, corpus_fault = _sample(corpus)
    try:
        write_note(storage, token, "driver")
        answers = ask_nodes(Question(storage, token, recordings))
        seen = len(read_notes(storage, token)) - 1  # all notes but the driver's own
    except (OSError, AwayError) as err:
        found = str(err) if isinstance(err, AwayError) else f"{masked(storage)}: {err.strerror or err}"
        return [Finding("storage", False, found, "give --storage a folder or URI to write")]
    finally:
        remove_notes(storage, token)
    findings = judge(answers, versions(), storage=masked(storage), seen=seen, recordings=len(recordings))
    if corpus_fault:
        findings.append(Finding("corpus", False, corpus_fault, "correct the search document's corpus"))
    return [*findings, check_mlflow(tracking), check_study(study)]


def ask_nodes(question: Question) -> list[Answer]:
    """Asks all living nodes of the cluster at the same time. A node that does not answer in time has a report too."""
    # No CPUs: a node whose CPUs are all in use must answer too.
    task = ray.remote(num_cpus=0, max_retries=0)(make_report)
    asked: dict[Any, tuple[str, float]] = {}
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            gpus = int(node["Resources"].get("GPU", 0))
            answer = task.options(scheduling_strategy=here).remote(question, gpus)
            asked[answer] = (f"{node['NodeManagerHostname']}/{node['NodeID'][:6]}", time.time())
    answers, waiting = [], list(asked)
    deadline_s = time.monotonic() + ANSWER_S
    while waiting and time.monotonic() < deadline_s:
        ready, waiting = ray.wait(waiting, timeout=deadline_s - time.monotonic())
        for one in ready:
            name, asked_s = asked[one]
            answers.append(Answer(_heard(one, name), asked_s, time.time()))
    silent = [NodeReport(asked[one][0], absent=f"no answer within {ANSWER_S:.0f} s") for one in waiting]
    return [*answers, *(Answer(report, 0.0, 0.0) for report in silent)]


def judge(
    answers: Sequence[Answer], own: Mapping[str, str], *, storage: str, seen: int, recordings: int
) -> list[Finding]:
    """Findings on what the nodes answered.

    `own` holds the driver's versions. `seen` is how many of the nodes' notes the driver found in the storage.
    """
    absent = {answer.report.host: answer.report.absent for answer in answers if answer.report.absent}
    present = [answer for answer in answers if not answer.report.absent]
    reports = [answer.report for answer in present]
    return [
        _finding(
            "nodes", absent, f"{len(present)} answer", "look at the node's raylet.err; is raysearch in its image?"
        ),
        _versions(reports, own),
        _storage(reports, storage, seen),
        _disk(reports),
        _clocks(present),
        _gpus(reports),
        _finding(
            "torchaudio",
            {report.host: report.torchaudio for report in reports if report.torchaudio},
            "imports on every node",
            FIX,
        ),
        _corpus(reports, recordings),
    ]


def check_mlflow(tracking: str) -> Finding:
    """Whether the MLflow server answers. A database or a file of our own needs no server."""
    if not tracking.startswith("http"):
        return Finding("mlflow", True, tracking.partition("://")[0] + ", written by the driver")
    try:
        with urllib.request.urlopen(f"{tracking.rstrip('/')}/health", timeout=10):
            return Finding("mlflow", True, f"{masked(tracking)} answers")
    except (urllib.error.URLError, OSError) as err:
        fix = "start it, or go on without: `raysearch sync NAME` completes it later"
        return Finding("mlflow", False, f"{masked(tracking)}: {masked(getattr(err, 'reason', err))}", fix)


def check_study(study: str) -> Finding:
    """Whether the database of studies opens. Without one, studies are journals in folders, and all is well."""
    if not study:
        return Finding("study", True, "a journal in the search's folder")
    kind = study.partition("://")[0]
    try:
        count = len(open_storage(study).get_all_studies())
    except (InputError, AwayError) as err:
        return Finding("study", False, str(err), "start the database, or check the URL given to --storage")
    return Finding("study", True, f"{kind} database with {count} studies")


def _sample(corpus: Callable[[], Corpus] | None) -> tuple[list[str], str]:
    """A few recordings of each split, and why there are none if the corpus cannot be read."""
    if corpus is None:
        return [], ""
    try:
        splits = corpus().splits.values()
    except InputError as err:
        return [], str(err)
    return [cut.recording.sources[0].source for cuts in splits for cut in islice(cuts, RECORDINGS)], ""


def _heard(answer: Any, name: str) -> NodeReport:
    """The report that a Ray task returned, or one that says why it returned none."""
    try:
        report: NodeReport = ray.get(answer)
    except ray.exceptions.RayError as err:
        return NodeReport(name, absent=str(err).strip().splitlines()[-1])
    # Several nodes may share a host, so the name holds the node's id as well.
    return replace(report, host=name)


def _finding(check: str, faults: Mapping[str, str], fine: str, fix: str) -> Finding:
    """A good finding if no node has a fault, else one that names the first such node and counts the others."""
    if not faults:
        return Finding(check, True, fine)
    host, fault = next(iter(faults.items()))
    more = f" (and {len(faults) - 1} more nodes)" if len(faults) > 1 else ""
    return Finding(check, False, f"{host}: {fault}{more}", fix)


def _versions(reports: Sequence[NodeReport], own: Mapping[str, str]) -> Finding:
    def apart(report: NodeReport) -> Iterator[str]:
        for name, version in own.items():
            if report.versions.get(name) != version:
                yield f"{name} {report.versions.get(name)}, the driver has {version}"

    faults = {report.host: "; ".join(apart(report)) for report in reports if any(apart(report))}
    fine = f"python {own['python']}, torch {own['torch']}, ray {own['ray']} on every node"
    return _finding("versions", faults, fine, "use one image, or install from one constraints.txt, on every node")


def _storage(reports: Sequence[NodeReport], storage: str, seen: int) -> Finding:
    faults = {report.host: f"{storage}: {report.storage}" for report in reports if report.storage}
    if not faults and seen < len(reports):
        faults = {"driver": f"{storage}: files of {len(reports) - seen} nodes do not arrive here"}
    fine = f"{storage} is read and written by all"
    return _finding(
        "storage", faults, fine, "give --storage a folder that is mounted on every node, or a URI such as s3://"
    )


def _disk(reports: Sequence[NodeReport]) -> Finding:
    free = {(report.host, folder): gb for report in reports for folder, gb in report.free_gb.items()}
    scarce = {host: f"{folder} has {gb:.1f} GB free" for (host, folder), gb in free.items() if gb < LEAST_FREE_GB}
    least = f"at least {min(free.values(), default=0):.0f} GB free"
    fix = f"free some, at least {LEAST_FREE_GB:.0f} GB; `raysearch targets gc` removes label sets that no search needs"
    return _finding("disk", scarce, least, fix)


def _clocks(answers: Sequence[Answer]) -> Finding:
    skewed = {
        answer.report.host: f"clock off by {answer.skew_s:.1f} s" for answer in answers if answer.skew_s > MOST_SKEW_S
    }
    most = max((answer.skew_s for answer in answers), default=0.0)
    return _finding("clock", skewed, f"at most {most:.1f} s apart", "turn on time synchronisation (chrony, ntp)")


def _gpus(reports: Sequence[NodeReport]) -> Finding:
    faults = {report.host: report.gpu for report in reports if report.gpu}
    names = [name for report in reports for name in report.gpus]
    kinds = ", ".join(f"{names.count(kind)} x {kind}" for kind in dict.fromkeys(names))
    fine = kinds or "none; searches run on CPUs"
    return _finding("gpu", faults, fine, "match driver and torch's CUDA (nvidia-smi), and give containers their GPUs")


def _corpus(reports: Sequence[NodeReport], recordings: int) -> Finding:
    faults = {report.host: report.corpus for report in reports if report.corpus}
    fine = f"{recordings} recordings read on every node" if recordings else "not asked for; name a search document"
    return _finding("corpus", faults, fine, "mount the corpus at the same path on every node, readable by Ray's user")
