"""Verbs that run searches, and that replay them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli.options import Address, Json, Set, Storage, Tracking, Trials, in_a_folder, open_search
from raysearch.cli.output import print_front, print_json, say


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
    from raysearch.spec.loading import load_spec
    from raysearch.storage.folder import SearchFolder, study_url

    changes = [*(overrides or []), *([f"search.trials={trials}"] if trials else [])]
    loaded = load_spec(spec, changes, name=name)
    folder = SearchFolder.of(storage, loaded.name)
    from raysearch.search.run import start_search

    document = start_search(
        loaded,
        folder,
        study_url=study_url(storage),
        tracking=tracking or f"sqlite:///{folder.root / 'mlflow.db'}",
        address=address,
        say=say,
    )
    print_front(document, folder, as_json)


def resume(
    name: str, trials: Trials = None, storage: Storage = None, address: Address = None, as_json: Json = False
) -> None:
    """Finish an interrupted search, or extend it with --trials."""
    folder = open_search(storage, name)
    from raysearch.search.run import resume_search

    document = resume_search(folder, trials=trials, address=address, say=say)
    print_front(document, folder, as_json)


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
    from raysearch.simulation.replay import load_table, replay

    found = replay(
        load_table(table),
        sampler,
        scheduler,
        workers=workers,
        trials=trials or (24 if budget is None else None),
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
    from raysearch.simulation.recorded import read_table_of, write_table

    found = read_table_of([open_search(storage, name) for name in names])
    write_table(found, out)
    print(f"{out}: {len(found.rows)} trials")
