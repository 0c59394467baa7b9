"""One sync for someone who waits for it. What goes wrong is told in one line."""

from __future__ import annotations

from collections.abc import Callable

import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException
from sqlalchemy.exc import SQLAlchemyError

from raysearch.errors import InputError, WorkError
from raysearch.files.databases import words_of
from raysearch.files.secrets import masked
from raysearch.tracking.mirror import Mirror, Synced
from raysearch.tracking.state import SearchState


def sync_once(mirror: Mirror, state: SearchState, command: str, say: Callable[[str], None]) -> Synced:
    """Writes what MLflow lacks of a search. `say` hears at once where it is sent: a server may take a while to answer.

    `command` is told where that fails: it does the same later.
    Raises: InputError if MLflow knows no such kind of address; WorkError if the server or the database does not answer
    or refuses. The study keeps all that is missing, whatever was written before the failure.
    """
    where = masked(mirror.tracking_uri)
    say(f"MLflow at {where}: sending what it lacks of {state.document.name}")
    try:
        return mirror.sync(state)
    except UnsupportedModelRegistryStoreURIException as err:
        expected = "an address that begins with http://, https://, sqlite:/// or postgresql://"
        raise InputError(f"--tracking: {where}; expected {expected}") from err
    except ImportError as err:
        raise InputError(f"--tracking: {where}: {err}; expected the driver of this database to be installed") from err
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as err:
        words = words_of(err)
        safe = f"nothing is lost: the study holds all, send it later with: {command}"
        raise WorkError(f"MLflow at {where}: {words}; {safe}") from err
