"""The report that a node of the cluster makes of itself. It is made on every node, by a Ray task.

The driver and the nodes leave each other notes, small files in the storage: whoever sees the others' notes shares the
storage with them.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from raysearch.encoder.imports.torchaudio_library import torchaudio_fault
from raysearch.errors import AwayError
from raysearch.files.remote import Remote, is_remote
from raysearch.storage.provenance import versions


@dataclass(frozen=True)
class Question:
    """The question that `raysearch doctor` puts to every node."""

    storage: str
    """Folder or URI of the searches."""
    token: str
    """Name of a folder in the storage that holds the notes of this visit. The driver's note is there already."""
    recordings: Sequence[str] = ()
    """Paths of a few audio files of the corpus, which the node must be able to read."""


@dataclass(frozen=True)
class NodeReport:
    """What a node answered. A field that holds a fault is empty if there is none."""

    host: str
    """Name of the node."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python and of the libraries that matter, by name."""
    clock_s: float = 0.0
    """Unix time in seconds by the node's clock, when it began to answer."""
    storage: str = ""
    """Fault: what went wrong with the storage."""
    free_gb: dict[str, float] = field(default_factory=dict)
    """Free gigabytes of two folders: the one where searches are written, and the node's temporary folder."""
    gpus: Sequence[str] = ()
    """Names of the GPUs that torch sees."""
    gpu: str = ""
    """Fault: why the GPUs that Ray counts cannot be used."""
    torchaudio: str = ""
    """Fault: why torchaudio does not load."""
    corpus: str = ""
    """Fault: which recordings cannot be read."""
    absent: str = ""
    """Fault: why the node did not answer at all."""


def make_report(question: Question, gpus: int) -> NodeReport:
    """The report of the node that this runs on; `gpus` is how many GPUs Ray counts there."""
    # The clock is read first: what follows takes seconds, and would look like a wrong clock.
    clock_s = time.time()
    found, fault = _gpus(gpus)
    return NodeReport(
        host=socket.gethostname(),
        versions=versions(),
        clock_s=clock_s,
        storage=_storage(question),
        free_gb={
            folder: shutil.disk_usage(folder).free / 1e9
            for folder in _folders(question.storage)
            if os.path.exists(folder)  # or else the fault of the storage tells of it
        },
        gpus=found,
        gpu=fault,
        torchaudio=torchaudio_fault(),
        corpus=_corpus(question.recordings),
    )


def write_note(storage: str, token: str, name: str) -> None:
    """Leaves a note of this name in the storage."""
    if is_remote(storage):
        Remote(storage).write(f"{token}/{name}", name.encode())
    else:
        Path(storage, token).mkdir(parents=True, exist_ok=True)
        Path(storage, token, name).write_text(name)


def read_notes(storage: str, token: str) -> set[str]:
    """Names of the notes of this visit that can be seen from here."""
    if is_remote(storage):
        return set(Remote(storage).files(token))
    folder = Path(storage, token)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def remove_notes(storage: str, token: str) -> None:
    """Removes all notes of this visit, where the storage can be written."""
    if is_remote(storage):
        with suppress(OSError, AwayError):
            Remote(storage).delete(token)
    else:
        shutil.rmtree(Path(storage, token), ignore_errors=True)


def _storage(question: Question) -> str:
    """Looks for the driver's note and leaves one of this node. Returns what went wrong, or nothing."""
    try:
        seen = read_notes(question.storage, question.token)
        write_note(question.storage, question.token, f"node-{os.urandom(4).hex()}")
    except AwayError as err:
        return str(err)
    except OSError as err:
        return f"cannot be written: {err.strerror or err}"
    return "" if "driver" in seen else "the driver's file is not there"


def _folders(storage: str) -> list[str]:
    """Where searches are written, unless that is a URI, and where Ray puts what does not fit into memory."""
    temporary = tempfile.gettempdir()
    return [temporary] if is_remote(storage) else [storage, temporary]


def _gpus(expected: int) -> tuple[list[str], str]:
    """Names of the GPUs that torch sees, and what is wrong with them."""
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if len(names) < expected:
        return names, f"Ray counts {expected} GPUs, torch {torch.__version__} sees {len(names)}"
    if names and not torch.distributed.is_nccl_available():
        return names, "torch has no NCCL"
    return names, ""


def _corpus(recordings: Sequence[str]) -> str:
    """Which recordings cannot be read here; empty if all can."""
    from raysearch.corpora.audio import verdicts_on

    verdicts = verdicts_on({Path(file) for file in recordings}, None)
    faults = [f"{file}: {verdict.fault}" for file, verdict in verdicts.items() if verdict.fault]
    return f"{len(faults)} of {len(verdicts)} recordings cannot be read, first {faults[0]}" if faults else ""
