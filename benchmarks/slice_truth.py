"""Compares the slices of a supernet as they are with what their shapes are worth once trained: further, and alone.

    python benchmarks/slice_truth.py NOW FURTHER ALONE [--png FILE] [--json]

NOW, FURTHER and ALONE are records of three searches over the same shapes: slices that are judged at rung 0, the same
slices after a training of their own, and students of another method that were trained from a blank start. Kendall's tau
says how alike two of them rank the shapes: 1 is the same order, 0 is chance. Its interval is by bootstrap over shapes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

import raysearch
from raysearch.front.drawing import COLOURS
from raysearch.front.objective import errors_of

SHAPE = ("student.depth", "student.width", "student.ffn_ratio", "student.channels")
DRAWS = 2000
"""Draws of the bootstrap."""


@dataclass(frozen=True)
class Row:
    """One shape, with its errors on dev and half-widths of their intervals, in percent."""

    shape: dict[str, Any]
    macs_g: float
    now: float
    further: float
    alone: float
    half: dict[str, float]


def judged(path: Path) -> dict[str, tuple[float, float, float, dict[str, Any]]]:
    """Cost, error, half of its interval, and shape of each complete trial, by its shape."""
    search = raysearch.open_search(path)
    (error,) = errors_of(search.document.objectives)
    found = {}
    for trial in search.document.trials:
        if trial.state == "complete":
            shape = {key.removeprefix("student."): trial.config[key] for key in SHAPE}
            low, high = (trial.metrics[f"eval/{error}_{end}"] for end in ("low", "high"))
            cost = trial.cost.macs_g
            found[json.dumps(shape)] = cost, trial.metrics[f"eval/{error}"], (high - low) / 2, shape
    return found


def rows(now: Path, further: Path, alone: Path) -> list[Row]:
    """The shapes that all three searches have judged, by their cost."""
    of = {"now": judged(now), "further": judged(further), "alone": judged(alone)}
    common = of["now"].keys() & of["further"].keys() & of["alone"].keys()
    found = []
    for key in common:
        macs_g, _, _, shape = of["now"][key]
        errors = {name: trials[key][1] for name, trials in of.items()}
        halves = {name: trials[key][2] for name, trials in of.items()}
        found.append(Row(shape, macs_g, **errors, half=halves))
    return sorted(found, key=lambda row: row.macs_g)


def tau(one_N: np.ndarray, other_N: np.ndarray) -> dict[str, float]:
    """Kendall's tau of two rankings, with a 95 % interval by bootstrap over the shapes."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(one_N), size=len(one_N)) for _ in range(DRAWS)]
    taus = [kendalltau(one_N[at], other_N[at]).statistic for at in drawn]
    low, high = np.nanquantile(taus, [0.025, 0.975])
    return {"tau": float(kendalltau(one_N, other_N).statistic), "low": float(low), "high": float(high)}


def report(found: list[Row]) -> dict[str, Any]:
    """The rows, and how each pair of columns ranks them."""
    columns = {name: np.array([getattr(row, name) for row in found]) for name in ("now", "further", "alone", "macs_g")}
    pairs = [("now", "further"), ("now", "alone"), ("further", "alone"), ("macs_g", "further"), ("macs_g", "alone")]
    taus = {f"{one}, {other}": tau(columns[one], columns[other]) for one, other in pairs}
    return {"shapes": [asdict(row) for row in found], "tau": taus}


def draw(found: list[Row], path: Path) -> None:
    """Errors of trained shapes against those of the slices as they are, with 95 % intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.625), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    now_N = [row.now for row in found]
    for name, label, marker, colour in (
        ("further", "the slice, trained further", "o", COLOURS[0]),
        ("alone", "the shape, trained alone from a blank start", "s", COLOURS[1]),
    ):
        errors_N = [getattr(row, name) for row in found]
        bars = {"xerr": [row.half["now"] for row in found], "yerr": [row.half[name] for row in found]}
        axes.errorbar(now_N, errors_N, **bars, fmt=marker, color=colour, ecolor=f"{colour}55", label=label)
    low, high = 0.9 * min(row.further for row in found), 1.05 * max(max(row.now, row.alone) for row in found)
    axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_xlabel("dev error of the slice as it is, %")
    axes.set_ylabel("dev error after training, %")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png")


def show(found: dict[str, Any]) -> None:
    print("| depth x width | FFN | channels | GMAC | as it is | trained further | trained alone |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for row in found["shapes"]:
        shape = row["shape"]
        size = f"{shape['depth']} x {shape['width']} | {shape['ffn_ratio']:g} | {shape['channels']}"
        errors = " | ".join(f"{row[name]:.1f}" for name in ("now", "further", "alone"))
        print(f"| {size} | {row['macs_g']:.1f} | {errors} |")
    print()
    for pair, one in found["tau"].items():
        print(f"Kendall's tau of {pair}: {one['tau']:.2f} ({one['low']:.2f} to {one['high']:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("searches", type=Path, nargs=3, metavar="RECORD", help="slices now, trained further, and alone")
    parser.add_argument("--png", type=Path, help="draws errors after training against those before")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = rows(*args.searches)
    if args.png:
        draw(found, args.png)
    if args.json:
        print(json.dumps(report(found)))
    else:
        show(report(found))


if __name__ == "__main__":
    main()
