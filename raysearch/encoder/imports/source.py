"""Reads an encoder from wherever it lies: `torchaudio:NAME`, `hf:DIR`, `fairseq:FILE`, or a folder that we wrote."""

from __future__ import annotations

from pathlib import Path

from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.files.digest import content_digest


def read_encoder(source: str) -> Encoder:
    """The encoder at `source`. Raises: InputError if it is not there, or is not an encoder that we know."""
    kind, _, where = source.rpartition(":")
    # Imported on use: torchaudio loads slowly, and is not needed for the others.
    match kind:
        case "torchaudio":
            from raysearch.encoder.imports.torchaudio import import_bundle

            return import_bundle(where)
        case "hf":
            from raysearch.encoder.imports.huggingface import import_huggingface

            return import_huggingface(Path(where))
        case "fairseq":
            from raysearch.encoder.imports.fairseq import import_fairseq

            return import_fairseq(Path(where))
        case "":
            return load_encoder(where)
    raise InputError(f"{source}; expected torchaudio:NAME, hf:DIR, fairseq:FILE or a folder")


def source_key(source: str) -> str:
    """A digest that changes when the names, sizes or times of the source's files do.

    Raises: InputError if there are no such files.
    """
    kind, _, where = source.rpartition(":")
    if kind == "torchaudio":
        return content_digest(source)
    path = Path(where)
    if not path.exists():
        raise InputError(f"teacher.source: {source}: not there; expected a {'file' if kind == 'fairseq' else 'folder'}")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return content_digest("\n".join([source, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]))
