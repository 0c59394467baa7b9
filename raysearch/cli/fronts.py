"""Verbs that read what searches found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysearch.cli.options import Json, Storage, in_a_folder, open_search
from raysearch.cli.output import print_front, print_json, say
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.front.document import SearchDocument
    from raysearch.storage.folder import SearchFolder

A_SEARCH = "A search, or a file that `raysearch record` wrote."
Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help=A_SEARCH)]


def status(
    name: Annotated[str | None, typer.Argument()] = None, storage: Storage = None, as_json: Json = False
) -> None:
    """Searches and their trials by state; of one also its front, its history, time spent, saved and left."""
    from raysearch.search.reading import read_status
    from raysearch.search.status import status_lines
    from raysearch.storage.folder import SearchFolder

    place = SearchFolder.of(storage, "")
    names = [name] if name else place.searches()
    found = [read_status(open_search(storage, one)) for one in names]
    if as_json:
        print_json(found[0] if name else found)
        return
    if not found:
        say(f"no searches in {place.place}")
    for one in found:
        print("\n".join(status_lines(one, long=name is not None)))


def front(
    name: Name,
    storage: Storage = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive page.", callback=in_a_folder)] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.", callback=in_a_folder)] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """The front, with confidence intervals."""
    folder, document = _read(storage, name)
    if html or png:
        from raysearch.front.plots import draw_html, draw_png

        for path, draw in ((html, draw_html), (png, draw_png)):
            if path:
                draw(document, path)
                say(f"written: {path}")
    print_front(document, folder, as_json, markdown=markdown)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help=A_SEARCH)],
    seeds: Annotated[bool, typer.Option("--seeds", help="They differ in their seed: means of each setting.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Fronts of several searches beside each other."""
    from raysearch.front.compare import compare_searches, compare_table
    from raysearch.front.seeds import average_over_seeds, seeds_table

    rows, table = (average_over_seeds, seeds_table) if seeds else (compare_searches, compare_table)
    documents = [_read(storage, name)[1] for name in names]
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows(documents)])
    else:
        print(table(documents))


def record(
    name: str,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, ending in .json.gz.", callback=in_a_folder)],
    storage: Storage = None,
) -> None:
    """Keep a search in one small file, which front and compare read in its place: no weights, no curves."""
    from raysearch.front.record import SUFFIX, write_record
    from raysearch.search.reading import record_of

    if not out.name.endswith(SUFFIX):
        raise InputError(f"--out: {out}; expected a name that ends in {SUFFIX}")
    found = record_of(open_search(storage, name))
    write_record(found, out)
    print(f"{out}: {len(found.document.trials)} trials, {out.stat().st_size / 1e3:.1f} kB")


def _read(storage: str | None, name: str) -> tuple[SearchFolder | None, SearchDocument]:
    """A search by its name, or from a file that `record` wrote, which has no folder."""
    from raysearch.front.record import SUFFIX, read_record
    from raysearch.search.reading import read_document

    if name.endswith(SUFFIX):
        return None, read_record(Path(name)).document
    folder = open_search(storage, name)
    return folder, read_document(folder)
