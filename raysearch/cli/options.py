"""Options that several verbs take, and the search that a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.search.folder import SearchFolder

Storage = Annotated[
    str | None,
    typer.Option(envvar="RAYSEARCH_STORAGE", help="Folder of the searches, or a database URL for the study."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the document.")]
Trials = Annotated[int | None, typer.Option(min=1, help="Number of trials.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use; without one, a Ray of its own here.")]


def open_search(storage: str | None, name: str) -> SearchFolder:
    from raysearch.search.folder import SearchFolder

    folder = SearchFolder.of(storage, name)
    folder.links()
    return folder


def choices(option: str, given: list[str], known: tuple[str, ...]) -> Any:
    for one in given:
        if one not in known:
            raise InputError(f"{option}: {one}; expected one of {', '.join(known)}")
    return list(dict.fromkeys(given))
