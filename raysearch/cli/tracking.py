"""Verbs on the MLflow server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import raysearch
from raysearch.cli.options import Storage
from raysearch.cli.output import quiet_mlflow, say


def sync(
    name: str,
    storage: Storage = None,
    tracking: Annotated[str | None, typer.Option(help="MLflow to fill instead of the search's own.")] = None,
    follow_stdin: Annotated[bool, typer.Option("--follow", hidden=True, help="Go on until stdin closes.")] = False,
) -> None:
    """Push to MLflow what it lacks of a search."""
    quiet_mlflow()
    from raysearch.tracking.follow import fail_fast

    fail_fast()
    found = raysearch.open_search(name, storage=storage)
    if not follow_stdin:
        print(found.sync(tracking))
        return
    from raysearch.search.reading import read_state
    from raysearch.tracking.follow import follow, give_way

    mirror = found.mirror(tracking)
    give_way()
    complete = follow(lambda: read_state(found.folder), mirror, stdin_closed, period_s=10.0, last_s=90.0)
    raise typer.Exit(0 if complete else 1)


def tracking_up(
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; beyond localhost turn authentication on, and name the server's hosts in "
            "MLFLOW_SERVER_ALLOWED_HOSTS."
        ),
    ] = "127.0.0.1",
) -> None:
    """Start MLflow with the page of the searches on this machine: SQLite and local artifacts."""
    from raysearch.storage.folder import SearchFolder
    from raysearch.tracking.server import serve

    say(f"fronts: http://{host}:{port}/raysearch/")
    serve(SearchFolder.of(storage, "").root.resolve(), host, port)


def stdin_closed() -> bool:
    import select

    # Nothing is ever written to it: readable means closed.
    return bool(select.select([sys.stdin], [], [], 0)[0])
