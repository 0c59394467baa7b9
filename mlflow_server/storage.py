"""Finds the folders of searches on this server's own disk. It reads those below one folder, which its owner names."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from mlflow_server.loopback import Loopback
from raysearch.errors import InputError

STORAGE = "RAYSEARCH_STORAGE"
"""Variable of the server's environment that names the folder of all searches, as it does for `raysearch` itself."""
FOLDER = "raysearch.folder"


async def search_folder(mlflow: Loopback, run_id: str) -> Path:
    """The folder of a search that the caller may see in MLflow.

    Raises: RefusedError if they may not; InputError if this server does not have the folder.
    """
    tags = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]["data"].get("tags", ())
    written = next((tag["value"] for tag in tags if tag["key"] == FOLDER), "")
    # Only the last name counts: whoever can write a tag must not be able to send the server elsewhere.
    name = PurePosixPath(written).name
    root = os.environ.get(STORAGE, "")
    if not root:
        raise InputError(f"{STORAGE}: not set; expected the folder of the searches, which this server cannot read")
    folder = Path(root) / name
    if not name or not (folder / "trials").is_dir():
        raise InputError(f"{STORAGE}: {root}: no search {name}; expected its folder there")
    return folder


def trial_folder(search: Path, number: int) -> Path:
    """The folder of a trial in that of its search, which need not exist."""
    return search / "trials" / f"{number:04d}"
