"""What a node of the cluster can say of itself. Runs on every node, as a Ray task."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raysearch.encoder.imports.torchaudio_library import torchaudio_fault
from raysearch.files.remote import Remote, is_remote
from raysearch.storage.provenance import versions


@dataclass(frozen=True)
class Question:
    """What every node is asked."""

    storage: str
    """Folder or URI of the searches."""
    token: str
    """Name of this visit's folder in the storage, where the driver has left a file."""
    recordings: Sequence[str] = ()
    """A few of the corpus's files."""


@dataclass(frozen=True)
class NodeReport:
    """What a node answered."""

    host: str
    versions: dict[str, str] = field(default_factory=dict)
    clock_s: float = 0.0
    storage: str = ""
    """What went wrong with the storage; empty if nothing did. So with all that follow and are text."""
    free_gb: dict[str, float] = field(default_factory=dict)
    """By folder: where searches are written, and the node's temporary folder."""
    gpus: Sequence[str] = ()
    """Names of those that torch sees."""
    gpu: str = ""
    torchaudio: str = ""
    corpus: str = ""
    absent: str = ""
    """Why the node did not answer at all."""


def make_report(question: Question, gpus: int) -> NodeReport:
    """The report of this node, which Ray says has so many GPUs."""
    clock_s = time.time()
    found, fault = _gpus(gpus)
    return NodeReport(
        host=socket.gethostname(),
        versions=versions(),
        clock_s=clock_s,
        storage=_storage(question),
        free_gb={folder: shutil.disk_usage(folder).free / 1e9 for folder in _folders(question.storage)},
        gpus=found,
        gpu=fault,
        torchaudio=torchaudio_fault(),
        corpus=_corpus(question.recordings),
    )


def write_note(storage: str, token: str, name: str) -> None:
    if is_remote(storage):
        Remote(storage).write(f"{token}/{name}", name.encode())
    else:
        Path(storage, token).mkdir(parents=True, exist_ok=True)
        Path(storage, token, name).write_text(name)


def read_notes(storage: str, token: str) -> set[str]:
    """Names of the files that this visit has left in the storage, as seen from here."""
    if is_remote(storage):
        return set(Remote(storage).files(token))
    folder = Path(storage, token)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def remove_notes(storage: str, token: str) -> None:
    if is_remote(storage):
        Remote(storage).delete(token)
    else:
        shutil.rmtree(Path(storage, token), ignore_errors=True)


def _storage(question: Question) -> str:
    try:
        seen = read_notes(question.storage, question.token)
        write_note(question.storage, question.token, f"node-{os.urandom(4).hex()}")
    except OSError as err:
        return f"cannot be written: {err.strerror or err}"
    return "" if "driver" in seen else "the driver's file is not there"


def _folders(storage: str) -> list[str]:
    """Where searches are written, if here, and where Ray spills."""
    temporary = tempfile.gettempdir()
    return [temporary] if is_remote(storage) else [storage, temporary]


def _gpus(expected: int) -> tuple[list[str], str]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if len(names) < expected:
        return names, f"Ray counts {expected} GPUs, torch {torch.__version__} sees {len(names)}"
    if names and not torch.distributed.is_nccl_available():
        return names, "torch has no NCCL"
    return names, ""


def _corpus(recordings: Sequence[str]) -> str:
    from raysearch.corpora.audio import probe as listen

    verdicts = listen({Path(file) for file in recordings}, None)
    faults = [f"{file}: {verdict.fault}" for file, verdict in verdicts.items() if verdict.fault]
    return f"{len(faults)} of {len(verdicts)} recordings cannot be read, first {faults[0]}" if faults else ""
