"""`export.json`: what an export is, where it came from, the sha256 of its files, and what was measured of it."""

from __future__ import annotations

from pathlib import Path

from raysearch.deploy.latency import Latency
from raysearch.deploy.runtime.transcribe import MANIFEST_NAME, check_content
from raysearch.errors import InputError
from raysearch.files.whole import write_whole
from raysearch.settings import Settings

CHECKPOINT_NAME = "checkpoint"


class Rate(Settings):
    """An error rate with its 95 % interval, in percent."""

    value: float
    low: float
    high: float
    cuts: int


class Measured(Settings):
    """One exported file, measured on this machine."""

    file: str
    size_bytes: int
    metric: str
    """`per`, `wer`, ..."""
    split: str
    error: Rate
    groups: dict[str, Rate] = {}
    """By the speakers' gender, where the corpus knows it."""
    latency: Latency


class Manifest(Settings):
    search: str
    root: Path
    """Folder of the searches."""
    trial: int
    task: str
    metric: str
    macs_g: float
    """GMAC over SUPERB's 32 utterances, head excluded."""
    params_m: float
    """Millions of parameters, head excluded."""
    source: dict[str, str]
    """sha256 of the trial's own weights."""
    files: dict[str, str]
    """sha256 of each file, by its path in the export."""
    versions: dict[str, str]
    measured: list[Measured] = []

    def save(self, folder: Path) -> None:
        write_whole(folder / MANIFEST_NAME, self.model_dump_json(indent=2) + "\n")

    @property
    def models(self) -> list[str]:
        """The files that can be run, without the checkpoint."""
        return [name for name in self.files if name.endswith((".onnx", ".pt2"))]


def load_manifest(folder: Path) -> Manifest:
    """Raises: InputError if there is none, or a file is missing or is not the one that was exported."""
    file = folder / MANIFEST_NAME
    try:
        manifest = Manifest.checked_json(file.read_bytes())
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected a folder that `raysearch export` wrote") from err
    except InputError as err:
        raise InputError(f"{file}: {err}") from err
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; expected all files of {MANIFEST_NAME}")
        check_content(folder / name, expected)
    return manifest
