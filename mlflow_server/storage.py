"""Finds the folders of searches on this server's own disk. It reads those below one folder, which its owner names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath

from mlflow_server.loopback import Loopback
from mlflow_server.runs import tags_of
from raysearch.errors import InputError
from raysearch.tracking import tags

STORAGE = "RAYSEARCH_STORAGE"
"""Variable of the server's environment that names the folder of all searches, as it does for `raysearch` itself."""
LINKS = "search.json"
"""File in a search's folder that tells it from others of its name."""


async def search_folder(mlflow: Loopback, run_id: str) -> Path:
    """The folder of a search that the caller may see in MLflow.

    Raises: RefusedError if they may not; InputError if this server does not have the folder.
    """
    about = tags_of((await mlflow.api("GET", "runs/get", run_id=run_id))["run"]["data"])
    # Only the last name counts, and only a plain one: whoever can write a tag must not send the server elsewhere.
    name = PurePosixPath(about.get(tags.FOLDER, "")).name
    root = os.environ.get(STORAGE, "")
    if not root or "://" in root:
        raise InputError(f"{STORAGE}: {root or 'not set'}; expected the folder of the searches, which is not read here")
    folder = Path(root).expanduser().resolve() / name
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII) or not (folder / "trials").is_dir():
        raise InputError(f"{STORAGE}: {root}: no search {name[:100]}; expected its folder there")
    if about.get(tags.TOKEN) not in (None, token_of(folder)):
        raise InputError(f"{STORAGE}: {root}: another search is called {name}; expected the one that MLflow shows")
    return folder


def token_of(folder: Path) -> str | None:
    """What tells the search in a folder from others of its name; None if it is not known."""
    try:
        return str(json.loads((folder / LINKS).read_text(encoding="utf-8")).get("token", ""))
    except (OSError, ValueError, AttributeError):
        return None


def trial_folder(search: Path, number: int) -> Path:
    """The folder of a trial in that of its search, which need not exist."""
    return search / "trials" / f"{number:04d}"
