"""The manifest of an export, kept in it as `export.json`.

It says what the export is, which trial it came from, the sha256 of its files, and what was measured of them.
"""

from __future__ import annotations

from pathlib import Path

from raysearch.deploy.runtime.transcribe import MANIFEST_NAME, check_content
from raysearch.errors import InputError
from raysearch.exported.latency import Latency
from raysearch.exported.measure import Rate
from raysearch.exported.settings import Precision
from raysearch.files.whole import write_whole
from raysearch.settings import Outcome

CHECKPOINT_NAME = "checkpoint"


class Measured(Outcome):
    """One exported file, measured on this machine."""

    file: str
    """Name of the file in the export."""
    size_bytes: int
    metric: str
    """Name of the task's error: `per`, `wer`, `eer` or another."""
    split: str
    """Split of the corpus that the error was measured on."""
    error: Rate
    groups: dict[str, Rate] = {}
    """Error by the speakers' gender, where the corpus knows it."""
    latency: Latency


class Manifest(Outcome):
    """The content of `export.json`."""

    search: str
    """Name of the search."""
    root: Path
    """Folder that the search lies in, beside others."""
    trial: int
    """Number of the trial."""
    task: str
    """Kind of the task whose head was exported."""
    metric: str
    """Name of the task's error."""
    layout: str = "raysearch"
    """Whose runtime the files are for."""
    precision: Precision = "fp32"
    """The precision in which the trial was judged."""
    macs_g: float
    """GMAC over SUPERB's 32 utterances, head excluded."""
    params_m: float
    """Millions of parameters, head excluded."""
    source: dict[str, str]
    """sha256 of each file of weights in the trial's folder that the export was made from."""
    files: dict[str, str]
    """sha256 of each file of the export, by its path in it."""
    versions: dict[str, str]
    """Versions of the packages that wrote the export."""
    measured: list[Measured] = []
    """What was measured of the ONNX files. Empty until `raysearch pick` measures them."""

    def save(self, folder: Path) -> None:
        write_whole(folder / MANIFEST_NAME, self.model_dump_json(indent=2) + "\n")

    @property
    def models(self) -> list[str]:
        """The files of the export that can be run. The checkpoint is not one of them."""
        return [name for name in self.files if name.endswith((".onnx", ".pt2"))]


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the export in `folder`, whose files are checked against it.

    Raises: InputError if there is no manifest, or a file is missing or is not the one that was exported.
    """
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
