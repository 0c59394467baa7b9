"""What a search will take, where its time goes, and searches replayed on recorded trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import Say, choices, device, place, say, spec_of
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.planning.profile import Profile
    from raysearch.simulation.recorded import RecordedTable
    from raysearch.spec.document import Spec


def plan(
    spec: Spec | str | Path,
    *,
    gpus: int,
    gpu: str = "h100",
    hours: float | None = None,
    storage: str | Path | None = None,
    say: Say = say,
) -> dict[str, Any]:
    """Time, GPU-hours, storage and hypervolume of a search that has not begun, and what of that is measured.

    `gpu` is `a100`, `h100`, `h200`, or `here` for as many of this machine's device. `hours` of training audio are
    taken as given, where the corpus is not at hand. Times are in seconds (`_s`) or hours (`_h`).
    Raises: InputError if the corpus cannot be read, the GPUs are too few, or the teacher's shape is not known.
    """
    import torch

    from raysearch.planning.cost_sheet import teacher_shape
    from raysearch.planning.pace import GPUS, HERE
    from raysearch.planning.plan import corpus_hours, make_plan
    from raysearch.search.memory.recall import recall

    choices("--gpu", gpu, (*GPUS, HERE))
    spec = spec_of(spec)
    torch.set_num_threads(spec.workers.cpus)
    memory = recall(spec, place(storage, spec.name))
    try:
        if hours is None:
            say("plan: reading the corpus")
        known = corpus_hours(spec, hours, place(storage).store)
    except InputError as err:
        raise InputError(f"{err}; or say how much there is to train on: --hours 960") from err
    return make_plan(spec, teacher_shape(spec), known, gpus=gpus, gpu=gpu, say=say, memory=memory)


def profile(
    spec: Spec | str | Path,
    *,
    updates: int = 20,
    threads: int = 1,
    storage: str | Path | None = None,
    say: Say = say,
) -> Profile:
    """Where the time of a search's training steps goes, measured on this machine.

    Raises: InputError if the teacher is not in the store and is not one that a search trains.
    """
    import torch

    from raysearch.planning.profile import profile as measure
    from raysearch.search.watching.works import shown_here

    spec = spec_of(spec)
    torch.set_num_threads(threads)
    with shown_here("profile", say):
        return measure(spec, place(storage, spec.name).store, device(gpu=True), updates, say)


def simulate(
    table: str | Path,
    *,
    sampler: str = "ehvi",
    scheduler: str = "pareto-asha",
    workers: int = 4,
    trials: int | None = None,
    budget_s: float | None = None,
    seeds: int = 1,
) -> list[dict[str, Any]]:
    """Searches replayed on recorded or made-up trials, without training: one a seed.

    `table` is a file that `write_table` wrote, or `synthetic:SEED`. A search ends after so many `trials`, 24 where
    nothing is said, or after `budget_s` seconds of its workers.
    Raises: InputError if there is no such table, sampler or scheduler.
    """
    from raysearch.simulation.replay import load_table, replay

    return replay(
        load_table(str(table)),
        sampler,
        scheduler,
        workers=workers,
        trials=trials or (24 if budget_s is None else None),
        budget_s=budget_s,
        seeds=seeds,
    )


def write_table(names: Sequence[str], out: str | Path, *, storage: str | Path | None = None) -> RecordedTable:
    """Writes the trials of finished searches on one space to a file, for `simulate`, and returns them.

    Raises: InputError if there is no such search, or two of them differ in their space.
    """
    from raysearch.api.searches import open_search
    from raysearch.simulation import recorded

    table = recorded.read_table_of([open_search(name, storage=storage).folder for name in names])
    recorded.write_table(table, Path(out))
    return table
