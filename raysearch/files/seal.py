"""Seals: a list of a folder's files with their sizes and digests, by which damage is found before they are trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from functools import lru_cache
from pathlib import Path


def seal(folder: Path, name: str, sized: Container[str] = ()) -> None:
    """Writes the list of all files in a folder to its file `name`. They must not change afterwards.

    Of the files in `sized` only the size is listed, because reading them whole would take too long.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / name)
    listed = {
        str(path.relative_to(folder)): [path.stat().st_size, "" if path.name in sized else _digest(path)]
        for path in files
    }
    (folder / name).write_text(json.dumps(listed), encoding="utf-8")


def damage(folder: Path, name: str) -> str:
    """The first file that is not as it was when the folder was sealed, and how it differs. Empty if all is as it was.

    Folders of earlier versions have an empty list, and those of checkpoints none: nothing is known to be damaged there.
    A file is read once in a process, and again only if its size or its time of writing have changed.
    """
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    try:
        listed: dict[str, tuple[int, str]] = json.loads(text) if text else {}
        for file, (size, digest) in listed.items():
            stat = (folder / file).stat()
            if stat.st_size != size:
                return f"{file} has {stat.st_size:,} bytes, not {size:,}"
            if digest and _digest_once(folder / file, stat.st_size, stat.st_mtime_ns, stat.st_ino) != digest:
                return f"{file} has other content"
    except (ValueError, TypeError, AttributeError):
        return f"{name} is not a list of files"
    except OSError as err:
        return f"{file}: {err.strerror}"
    return ""


@lru_cache(maxsize=1024)
def _digest_once(path: Path, size: int, written_ns: int, node: int) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
