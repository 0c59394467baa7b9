"""Verbs that read what searches found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli.options import Json, Storage, open_search
from raysearch.cli.output import print_front, print_json, say


def status(
    name: Annotated[str | None, typer.Argument()] = None, storage: Storage = None, as_json: Json = False
) -> None:
    """Searches and their trials by state; of one also its front, its history, time spent, saved and left."""
    from raysearch.search.folder import SearchFolder, searches
    from raysearch.search.reading import read_status
    from raysearch.search.status import status_lines

    names = [name] if name else searches(SearchFolder.of(storage, "").root)
    found = [read_status(open_search(storage, one)) for one in names]
    if as_json:
        print_json(found[0] if name else found)
        return
    for one in found:
        print("\n".join(status_lines(one, long=name is not None)))


def front(
    name: str,
    storage: Storage = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive page.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    markdown: Annotated[bool, typer.Option(help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """The front, with confidence intervals."""
    from raysearch.search.reading import read_document

    folder = open_search(storage, name)
    document = read_document(folder)
    if html or png:
        from raysearch.front.plots import draw_html, draw_png

        for path, draw in ((html, draw_html), (png, draw_png)):
            if path:
                draw(document, path)
                say(f"written: {path}")
    print_front(document, folder, as_json, markdown=markdown)


def compare(names: list[str], storage: Storage = None, as_json: Json = False) -> None:
    """Fronts of several searches beside each other."""
    from raysearch.front.compare import compare as compare_documents
    from raysearch.front.compare import compare_table
    from raysearch.search.reading import read_document

    documents = [read_document(open_search(storage, name)) for name in names]
    if as_json:
        print_json([row.model_dump(mode="json") for row in compare_documents(documents)])
    else:
        print(compare_table(documents))
