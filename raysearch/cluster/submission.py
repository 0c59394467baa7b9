"""What a Ray job takes along: the files of the working directory that Ray will pack and upload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

LARGEST = 5


def packed(root: Path) -> dict[str, int]:
    """Bytes of each file that goes along, by its path from `root`: all but what `.gitignore` and `.rayignore` name."""
    found: dict[str, int] = {}
    _walk(root, root, [], found)
    return found


def _walk(root: Path, folder: Path, excludes: list[Callable[[Path], bool]], found: dict[str, int]) -> None:
    # Ray's own rules: ours could only differ from them. An ignore file holds for what lies below it.
    excludes = [*excludes, *get_excludes_from_ignore_files(folder, include_gitignore=True)]
    for path in sorted(folder.iterdir()):
        if any(excluded(path) for excluded in excludes):
            continue
        if path.is_dir() and not path.is_symlink():
            _walk(root, path, excludes, found)
        elif path.is_file():
            found[str(path.relative_to(root))] = path.stat().st_size


def package_lines(files: dict[str, int]) -> list[str]:
    total = sum(files.values())
    largest = sorted(files.items(), key=lambda item: -item[1])[:LARGEST]
    lines = [f"package: {total / 1e6:.1f} MB in {len(files)} files (.rayignore leaves files out); the largest:"]
    return [*lines, *(f"  {size / 1e6:8.2f} MB  {name}" for name, size in largest)]
