"""Removes a search: its folder, and its study where that lies in a database."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass

from raysearch.files.remote import Remote
from raysearch.storage.folder import SearchFolder
from raysearch.storage.lease import Lease
from raysearch.storage.replica import Replica
from raysearch.storage.studies import open_storage, owns


@dataclass(frozen=True)
class Removed:
    """What is gone."""

    name: str
    bytes: int
    """Size of the files that were removed, at the URI if searches lie at one."""
    place: str
    """Where they were."""


def size(folder: SearchFolder) -> int:
    """Bytes that the files of a search take."""
    if remote := folder.remote:
        return sum(remote.files("").values())
    return sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())


def remove(folder: SearchFolder) -> Removed:
    """Removes the search in `folder`.

    Raises: InputError that names the driver, if one is at work on it.
    """
    Replica(folder).refuse()
    storage, study = open_storage(folder.study_storage()), folder.study_name
    # While the lease is held, nobody begins to drive the search.
    lease = Lease.take(storage, study)
    try:
        removed = Removed(folder.name, size(folder), f"{folder.place}/{folder.name}")
        with suppress(KeyError):  # of a search that never came as far as making it
            study_id = storage.get_study_id_from_name(study)
            if owns(folder, storage.get_study_user_attrs(study_id)):
                storage.delete_study(study_id)
        # Without this file no verb finds the search any more, even if removing the others stops half-way.
        folder.abandon()
    finally:
        lease.release()
    if folder.uri:
        Remote(folder.uri).delete(folder.name)
    shutil.rmtree(folder.path)
    return removed
