"""Exported models: held against the checkpoint that they came from, and used without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from raysearch.api.arguments import Say, choices, say, storage_or_default
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.deploy.verify import Verdict


def verify(export: str | Path, *, split: str = "dev", storage: str | Path | None = None, say: Say = say) -> Verdict:
    """An export compared with its checkpoint, on real audio of its search's corpus.

    `split` is `dev`, of which some cuts are heard, or `test`, of which all are. `storage` is the folder of the
    searches, where it has moved since the export was made. An export for another runtime is run by that runtime.
    Raises: InputError if a file of the export is missing or changed, the search is gone, or the runtime is missing.
    """
    from raysearch.deploy import verify

    (heard,) = choices("--split", split, get_args(verify.Split))
    where = storage_or_default(storage)
    root = Path(where).resolve() if where and "://" not in where else None
    return verify.verify(Path(export), root, say, heard)


def transcribe(
    model: str | Path,
    audio: Sequence[str | Path],
    *,
    threads: int = 0,
    unreadable: Callable[[InputError], None] | None = None,
) -> list[dict[str, Any]]:
    """The text of 16 kHz mono recordings, or their label or slots, by an exported ONNX model and without torch.

    `model` is the ONNX file, or the folder of the export. Each row has `file`, `text`, `seconds`, and `whole`, which is
    false of a recording that was read in windows.
    Raises: InputError naming the first file that cannot be read. Where `unreadable` is given, it is called with the
    error of each of them instead, and all others are read.
    """
    from raysearch.deploy.runtime import transcribe

    return transcribe.transcribe(Path(model), [Path(file) for file in audio], threads, unreadable)


def verify_speaker(model: str | Path, one: str | Path, other: str | Path, *, threads: int = 0) -> dict[str, Any]:
    """Whether one person speaks in two 16 kHz mono recordings, by an exported ONNX model and without torch.

    `model` is the ONNX file, or the folder of the export. Gives the cosine `score` of their embeddings, the `threshold`
    chosen on dev, and whether they are the `same`.
    Raises: InputError naming the file that is at fault.
    """
    from raysearch.deploy.runtime import verify_speaker

    return verify_speaker.verify_speaker(Path(model), Path(one), Path(other), threads)
