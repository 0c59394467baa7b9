"""Reads an encoder from wherever it lies: `torchaudio:NAME`, `hf:DIR`, `fairseq:FILE`, or a folder that we wrote.

What reads them is imported on use: documents name sources without torch, and torchaudio loads slowly.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.errors import InputError, quoted
from raysearch.files.digest import content_digest

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder

KINDS = ("torchaudio", "hf", "fairseq")
"""Words before the colon. A folder that we wrote has none."""
EXPECTED = "torchaudio:NAME, hf:DIR, fairseq:FILE or a folder with config.json and model.safetensors"


def split_source(source: str) -> tuple[str, str]:
    """The kind of a source, empty for a folder that we wrote, and its name or path, which may hold colons itself."""
    kind, colon, where = source.partition(":")
    return (kind, where) if colon and kind in KINDS else ("", source)


def read_encoder(source: str) -> Encoder:
    """The encoder at `source`. Raises: InputError if it is not there, or is not an encoder that we know."""
    kind, where = split_source(source)
    if kind == "torchaudio":
        from raysearch.encoder.imports.torchaudio import import_bundle

        return import_bundle(where)
    path = _there(source)
    match kind:
        case "hf":
            from raysearch.encoder.imports.huggingface import import_huggingface

            return import_huggingface(path)
        case "fairseq":
            from raysearch.encoder.imports.fairseq import import_fairseq

            return import_fairseq(path)
    from raysearch.encoder.checkpoint import WEIGHTS_NAME, check_finite, load_encoder

    encoder = load_encoder(path)
    check_finite(encoder.state_dict(), path / WEIGHTS_NAME)
    return encoder


def source_key(source: str) -> str:
    """A digest that changes when the names, sizes or times of the source's files do.

    Raises: InputError if there are no such files.
    """
    if split_source(source)[0] == "torchaudio":
        return content_digest(source)
    path = _there(source)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return content_digest("\n".join([source, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]))


def _there(source: str) -> Path:
    """The path of a source. Raises: InputError if there is none, which says how to get a model of Hugging Face."""
    kind, where = split_source(source)
    path = Path(where)
    if path.exists():
        return path
    if kind == "fairseq":
        raise InputError(f"{source}: not there; expected a file")
    name = os.path.relpath(path)
    if kind == "hf" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        raise InputError(
            f"{source}: not there; expected a folder, as it comes by: hf download {name} --local-dir {name}"
        )
    raise InputError(f"{quoted(source)}: not there; expected {'a folder' if kind else EXPECTED}")
