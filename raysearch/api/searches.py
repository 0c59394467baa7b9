"""Searches: run, finished, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.api.arguments import Say, aloud, place, say, spec_of, storage_or_default, tracking_or_default
from raysearch.api.search import Search

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder
    from raysearch.spec.document import Spec
    from raysearch.spec.overrides import Overrides
    from raysearch.storage.removal import Removed


def search(
    spec: Spec | str | Path,
    *,
    name: str | None = None,
    storage: str | Path | None = None,
    tracking: str | None = None,
    address: str | None = None,
    say: Say = say,
) -> Search:
    """Runs a search to its end.

    `spec` is a search document, its file, or its name if it comes with raysearch. `name` is the search's name instead
    of the document's. Its folder lies in `storage`: a folder, a URI such as `s3://bucket/searches`, or the URL of a
    database for the study. `tracking` is the MLflow that mirrors it, by default a SQLite file beside the searches.
    `address` is a Ray cluster; without one, and without `RAY_ADDRESS`, a Ray of its own runs here. `say` hears what
    goes on; on a terminal, a live table shows the trials instead.
    Raises: InputError if the document is wrong or the name is taken; WorkError if it cannot go on.
    """
    from raysearch.spec.notices import check_notices
    from raysearch.storage.folder import study_url

    spec = spec_of(spec, name)
    folder = place(storage, spec.name)
    # Loading Ray takes seconds: a fault of the document is told before.
    check_notices(spec.notices)
    if not folder.exists:
        from raysearch.search.checks.possible import refuse_beforehand

        refuse_beforehand(spec)
        if spec.search.learn_from:
            from raysearch.search.memory.recall import recall

            recall(spec, folder)
    from raysearch.planning.foreseen import foresee
    from raysearch.search.run import start_search

    start_search(
        spec,
        folder,
        study_url=study_url(storage_or_default(storage)),
        tracking=tracking_or_default(tracking) or "",
        address=address,
        say=aloud(say),
        foresee=foresee,
    )
    return Search(spec.name, folder)


def resume(
    name: str,
    *,
    trials: int | None = None,
    overrides: Overrides = (),
    storage: str | Path | None = None,
    address: str | None = None,
    say: Say = say,
) -> Search:
    """Finishes an interrupted search, or extends one to so many `trials`.

    `overrides` change its document, such as `["space.student.depth={int: [1, 8]}"]`: it may gain choices, ranges and
    methods, and get another budget; its trials stay.
    Raises: InputError if there is no such search, or a change loses a point of it; WorkError if it cannot go on.
    """
    found = open_search(name, storage=storage)
    # Loading Ray takes seconds: a name that does not exist is told before.
    from raysearch.planning.foreseen import foresee
    from raysearch.search.run import resume_search

    resume_search(found.folder, trials=trials, overrides=overrides, address=address, say=aloud(say), foresee=foresee)
    return found


def open_search(name: str | Path, *, storage: str | Path | None = None) -> Search:
    """A search by its name, or from a file that `Search.record` wrote. It may be running.

    Raises: InputError if there is none of this name.
    """
    from raysearch.front.record import SUFFIX, read_record

    if str(name).endswith(SUFFIX):
        record = read_record(Path(name))
        return Search(record.document.name, None, record)
    folder = place(storage, str(name))
    folder.fetch()
    folder.links()
    return Search(folder.name, folder)


def searches(*, storage: str | Path | None = None) -> list[str]:
    """Names of the searches in a storage."""
    return place(storage).searches()


def remove_search(name: str, *, storage: str | Path | None = None) -> Removed:
    """Removes a search for good: its folder and its study. What searches share stays, until `remove_garbage`.

    MLflow keeps what it was sent.
    Raises: InputError if there is no such search, or a driver is at work on it.
    """
    from raysearch.storage.removal import remove

    return remove(open_search(name, storage=storage).folder)


def load_student(search: Search | str, trial: int, *, storage: str | Path | None = None) -> Encoder:
    """The student of a search's trial as a torch module, as `Search.load_student` gives it.

    Raises: InputError if there is no such search or trial, or the trial never reached a rung.
    """
    found = open_search(search, storage=storage) if isinstance(search, str) else search
    return found.load_student(trial)
