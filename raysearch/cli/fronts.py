"""Verbs that read what searches found."""

from __future__ import annotations

from math import isfinite, nan
from pathlib import Path
from typing import Annotated

import typer

import raysearch
from raysearch.cli.options import Json, Storage, Wide, in_a_folder
from raysearch.cli.output import line_width, print_front, print_json, quiet_blas, say
from raysearch.errors import InputError, WorkError

A_SEARCH = "A search, or a file that `raysearch record` wrote."
Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help=A_SEARCH)]


def status(
    name: Annotated[str | None, typer.Argument()] = None, storage: Storage = None, as_json: Json = False
) -> None:
    """Searches and their trials by state; of one also its front, its history, time spent, saved and left."""
    quiet_blas()
    from raysearch.search.watching.status import status_lines
    from raysearch.storage.folder import SearchFolder

    names = [name] if name else raysearch.searches(storage=storage)
    found = []
    for one in names:
        try:
            found.append(raysearch.open_search(one, storage=storage).status())
        except (InputError, WorkError) as err:
            # A database that is away, or a damaged file, hides its own search and no other.
            if name:
                raise
            say(f"{one}: not read: {err}")
    if as_json:
        print_json(found[0] if name else found)
        return
    if not names:
        say(f"no searches in {SearchFolder.of(storage, '').place}")
    for shown in found:
        print("\n".join(status_lines(shown, long=name is not None)))


def front(
    name: Name,
    storage: Storage = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive page.", callback=in_a_folder)] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.", callback=in_a_folder)] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            metavar="superb|voxceleb|FILE", help="Published points beside the front, of a benchmark or a CSV of yours."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All trials, not the front's alone.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """The front, with confidence intervals."""
    quiet_blas()
    found = raysearch.open_search(name, storage=storage)
    beside = found.published(*published) if published else None
    if html or png:
        for file in found.draw(html=html, png=png, published=beside):
            say(f"written: {file}")
    print_front(found, as_json, markdown=markdown, every=every, wide=wide, published=beside)
    for line in beside.left_out if beside else ():
        say(line)
    if standing := found.standing():
        say(standing)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help=A_SEARCH)],
    seeds: Annotated[bool, typer.Option("--seeds", help="They differ in their seed: means of each setting.")] = False,
    seconds: Annotated[
        bool,
        typer.Option("--seconds", help="Hypervolume against core-seconds, with those of trainings that trials share."),
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="S,S,...", help="Core-seconds to look at, such as 1800,3600,7200.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write a picture of them, with the spread over seeds.", callback=in_a_folder)
    ] = None,
    wide: Wide = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Fronts of several searches beside each other.

    With --seconds, searches whose names differ in the number at their end, as star-0 and star-1, are one search under
    several seeds.
    """
    quiet_blas()
    if seconds and seeds:
        raise InputError("--seconds, --seeds: both; expected one of them")
    if (at or png) and not seconds:
        raise InputError("--at, --png: without --seconds; expected both")
    found = raysearch.compare(names, seeds=seeds, at=_numbers(at) if seconds else None, storage=storage)
    if png:
        found.draw(png)
        say(f"written: {png}")
    if as_json:
        print_json([row.model_dump(mode="json") for row in found.rows])
    else:
        print(found.table(line_width(wide=wide)))


def _numbers(text: str | None) -> list[float]:
    """The numbers above 0 of a text such as `1800,3600`. Raises: InputError."""
    try:
        found = [float(one) for one in text.split(",")] if text else []
    except ValueError:
        found = [nan]
    if not all(isfinite(one) and one > 0 for one in found):
        raise InputError(f"--at: {text}; expected numbers above 0 with commas between them, such as 1800,3600")
    return found


def claim(
    claim: Annotated[str, typer.Argument(metavar='"A < B"', help="A and B: a method, or settings as macs_ratio=0.5.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help=A_SEARCH)],
    difference: Annotated[
        float | None, typer.Option(min=0.01, help="Percentage points to be told; else those that were found.")
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Whether A has the lower error in searches that differ in their seed, and how many seeds would tell it."""
    found = raysearch.judge_claim(claim, names, difference=difference, storage=storage)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(found.table())


def record(
    name: str,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, ending in .json.gz.", callback=in_a_folder)],
    storage: Storage = None,
) -> None:
    """Keep a search in one small file, which front, compare and claim read in its place: no weights, no curves."""
    found = raysearch.open_search(name, storage=storage).record(out)
    print(f"{out}: {len(found.document.trials)} trials, {out.stat().st_size / 1e3:.1f} kB")
