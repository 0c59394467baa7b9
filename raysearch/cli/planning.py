"""The verb that says what a search will take, before it is paid for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

import raysearch
from raysearch.cli.options import Json, Set, Storage, Trials
from raysearch.cli.output import print_json

ROWS = {
    "trial_s": "a trial, s",
    "before_h": "before the first trial, h",
    "search_h": "all trials, h",
    "gpu_hours": "GPU-hours",
}


def plan(
    spec: Path,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of the cluster.")],
    gpu: Annotated[str, typer.Option(help="a100, h100 or h200; here: as many of this machine's device.")] = "h100",
    trials: Trials = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="Training audio in hours, where the corpus is not at hand.")
    ] = None,
    overrides: Set = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Time, GPU-hours, storage and hypervolume of a search that has not begun, and what of that is measured."""
    loaded = raysearch.load_spec(spec, [*(overrides or []), *([f"search.trials={trials}"] if trials else [])])
    found = raysearch.plan(loaded, gpus=gpus, gpu=gpu, hours=hours, storage=storage)
    if as_json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    macs, hours = found["students_macs_g"], found["hours"]
    lines = [
        f"{found['name']}: {found['trials']} trials on {found['gpus']} x {found['gpu']}, {found['lanes']} lanes"
        + (f"; {found['idle_gpus']} GPUs have nothing to do" if found["idle_gpus"] else ""),
        f"students: {_two(macs['least'])} to {_two(macs['most'])} GMAC, median {_two(macs['median'])} (exact)",
        f"corpus: {_two(hours['train'])} h to train on ({hours['source']})",
        "",
        f"{'':28}{'low':>10}{'likely':>10}{'high':>10}",
    ]
    for key, words in ROWS.items():
        lines.append(f"{words:28}" + "".join(f"{_two(value):>10}" for value in found[key].values()))
    lines += ["", "storage, GB: " + ", ".join(f"{key} {_two(value)}" for key, value in found["storage_gb"].items())]
    states = ", ".join(f"{_two(count)} {state}" for state, count in found["trials_by_state"].items())
    lines += [f"trials: {states}", "", f"{'GPU-hours':>10}  hypervolume, share of the best known: quartiles"]
    for step in found["curve"]:
        lines.append(f"{_two(step['gpu_hours']):>10}  " + "  ".join(f"{share:.2f}" for share in step["quartiles"]))
    lines += ["", f"driver: {found['driver']['busy']:.1%} of one CPU busy with suggestions", "", "measured"]
    lines += [f"  {line}" for line in found["measured"]]
    return [*lines, "assumed", *(f"  {line}" for line in found["assumed"])]


def _two(value: float) -> str:
    """Two digits: no more is known."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"
