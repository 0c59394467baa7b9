"""Verbs that run searches, and that replay them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import raysearch
from raysearch.cli.options import Address, Json, Set, Storage, Tracking, Trials, Widen, in_a_folder
from raysearch.cli.output import print_front, print_json, say
from raysearch.errors import InputError, WorkError


def search(
    spec: Path,
    name: Annotated[str | None, typer.Option(help="Name of the search instead of the document's.")] = None,
    trials: Trials = None,
    overrides: Set = None,
    storage: Storage = None,
    tracking: Tracking = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run a search to its end: raysearch search search_spaces/quickstart.yaml"""
    changes = [*(overrides or []), *([f"search.trials={trials}"] if trials else [])]
    loaded = raysearch.load_spec(spec, changes, name)
    found = raysearch.search(loaded, storage=storage, tracking=tracking, address=address, say=say)
    print_front(found, as_json)


def resume(
    name: str,
    trials: Trials = None,
    overrides: Widen = None,
    storage: Storage = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Finish an interrupted search, or extend it with --trials, and widen its space with --set."""
    found = raysearch.resume(name, trials=trials, overrides=overrides or (), storage=storage, address=address, say=say)
    print_front(found, as_json)


def rm(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Remove a search for good: its folder and its study. What searches share stays, until `raysearch targets gc`."""
    found = raysearch.open_search(name, storage=storage)
    if not yes and not asked(f"remove {found.folder.place}/{name} for good?"):
        raise WorkError("nothing was removed")
    removed = raysearch.remove_search(name, storage=storage)
    if as_json:
        print_json(asdict(removed))
    else:
        print(f"{removed.place}: removed, {removed.bytes / 1e6:.1f} MB")


def asked(question: str) -> bool:
    """The answer of whoever sits at the terminal. Raises: InputError if nobody does."""
    if not sys.stdin.isatty():
        raise InputError("rm: nobody is there to be asked; expected --yes")
    return typer.confirm(question, err=True)


def simulate(
    table: Annotated[str, typer.Argument(help="File written by `raysearch table`, or synthetic:SEED.")],
    sampler: Annotated[str, typer.Option(help="auto, ehvi, random, tpe, gp or nsga2.")] = "ehvi",
    scheduler: Annotated[str, typer.Option(help="fifo or pareto-asha.")] = "pareto-asha",
    workers: Annotated[int, typer.Option(min=1, help="Simulated lanes.")] = 4,
    trials: Trials = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Worker-seconds, instead of --trials.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches to replay.")] = 1,
    as_json: Json = False,
) -> None:
    """Replay searches on recorded or made-up trials, without training."""
    found = raysearch.simulate(
        table,
        sampler=sampler,
        scheduler=scheduler,
        workers=workers,
        trials=trials,
        budget_s=budget,
        seeds=seeds,
    )
    if as_json:
        print_json(found)
        return
    for one in found:
        states = ", ".join(f"{count} {state}" for state, count in one["trials"].items())
        spent = f"{one['worker_seconds']:.0f} s of workers"
        print(f"seed {one['seed']}: {states}; front {len(one['front'])}, hypervolume {one['hypervolume']:.4g}; {spent}")


def table(
    names: list[str],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, ending in .jsonl.gz.", callback=in_a_folder)],
    storage: Storage = None,
) -> None:
    """Write the trials of finished searches on one space as a table, to simulate searches on."""
    found = raysearch.write_table(names, out, storage=storage)
    print(f"{out}: {len(found.rows)} trials")
