"""Lists what a Ray job takes along: the files of the working directory that Ray packs and uploads."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

from raysearch.errors import InputError
from raysearch.files.secrets import masked

ANSWER_S = 10.0
"""Seconds after which a dashboard that has not answered counts as none."""
LARGEST = 5
"""How many of the largest files are named."""


def packed(root: Path) -> dict[str, int]:
    """Size in bytes of each file that goes along, by its path from `root`.

    Files that a `.gitignore` or `.rayignore` names stay behind.
    """
    found: dict[str, int] = {}
    _walk(root, root, [], found)
    return found


def _walk(root: Path, folder: Path, excludes: list[Callable[[Path], bool]], found: dict[str, int]) -> None:
    # Ray's private function knows Ray's own rules; rules of our own could only differ from them.
    # An ignore file holds for all that lies below it, so each folder adds its rules to those from above.
    excludes = [*excludes, *get_excludes_from_ignore_files(folder, include_gitignore=True)]
    for path in sorted(folder.iterdir()):
        if any(excluded(path) for excluded in excludes):
            continue
        if path.is_dir() and not path.is_symlink():
            _walk(root, path, excludes, found)
        elif path.is_file():
            found[str(path.relative_to(root))] = path.stat().st_size


def check_dashboard(address: str) -> None:
    """Asks whether something answers where a job is to be sent.

    Raises: InputError if nothing does. Ray itself would say so in ninety lines.
    """
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        return  # it answers, and Ray will bring the token that it asks for
    except (OSError, ValueError) as err:
        reason = getattr(err, "reason", err)
        raise InputError(
            f"--address: {masked(address)}: no Ray dashboard answers ({reason}); expected that of a running cluster, "
            "such as http://127.0.0.1:8265 after `ray start --head`"
        ) from err


def package_lines(files: dict[str, int]) -> list[str]:
    """Lines for the user: the size of the package, and its largest files."""
    total = sum(files.values())
    largest = sorted(files.items(), key=lambda item: -item[1])[:LARGEST]
    lines = [f"package: {total / 1e6:.1f} MB in {len(files)} files (.rayignore leaves files out); the largest:"]
    return [*lines, *(f"  {size / 1e6:8.2f} MB  {name}" for name, size in largest)]
