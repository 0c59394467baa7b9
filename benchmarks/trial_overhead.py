"""Measures the seconds that a trial costs beside its training: in warm lanes, in Ray's nested pattern, in bare Tune.

    python benchmarks/trial_overhead.py [--trials 1000] [--lanes 1] [--turns 1] [--json]

Every trial reports one number and does nothing else. They run in four ways, of
which all but `nested` are measured in turns:

- `ours`: in lanes, as a search runs them.
- `nested`: as Ray documents distributed trials, a TorchTrainer with `TuneReportCallback` inside a Tune function, one at
  a time.
- `bare`: in a Tune class without workers, with as many reused actors as there are lanes. It is the least that Tune
  itself costs as it comes, without its loggers.
- `lean`: the same, where Tune is also kept from what lanes keep it from: a checkpoint of each trial and a state of all.

Figures that end in `_s` are medians of the seconds between the ends of two trials, and those that end in `_total_s` the
seconds from the first end to the last. `driver_ms` is what the driver spends on a report beside Tune, for the study and
the scheduler. `suggest_ms` is what it spends on a suggestion, which is drawn at random and costed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import train, tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from raysearch.cluster.connection import APART, QUIET_TUNE
from raysearch.lanes.room import Room
from raysearch.lanes.source import Suggestion
from raysearch.lanes.tune import LANE_RESOURCES, run_lanes
from raysearch.search.searcher import Searcher

ROOT = Path(__file__).parent.parent
NESTED = 4
"""Trials of the nested kind. They are few because each takes many seconds."""


class Clock(tune.Callback):  # type: ignore[misc]
    """Notes when trials ended."""

    def __init__(self) -> None:
        self.ends_s: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ends_s.append(time.monotonic())


class Timed(Searcher):
    """The searcher, which also counts the seconds that Tune waits for it."""

    suggesting_s = reporting_s = 0.0

    def suggest(self) -> Suggestion | None:
        began_s = time.monotonic()
        suggestion = super().suggest()
        self.suggesting_s += time.monotonic() - began_s
        return suggestion

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        began_s = time.monotonic()
        super().complete(number, updates, metrics)
        self.reporting_s += time.monotonic() - began_s


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context in which Tune leaves undone what it does not do for lanes either."""
    before = dict(os.environ)
    os.environ.update(QUIET_TUNE)
    try:
        yield
    finally:
        for name in QUIET_TUNE.keys() - before.keys():
            del os.environ[name]


def ours(place: Path, trials: int, lanes: int) -> tuple[list[float], dict[str, float]]:
    """Times at which the trials of a search ended whose method does nothing, and what the driver spends beside Tune."""
    ends_s: list[float] = []
    sys.path.insert(0, str(ROOT))
    from tests.search.fake_search import driver, make_search

    folder = make_search(place, {}, trials=trials, lanes=lanes, rungs=(1.0,))
    with quiet(), driver(folder, Timed) as (searcher, setup):
        run_lanes(
            searcher,
            setup,
            Room(setup, lanes),
            lambda event, _: ends_s.append(time.monotonic()) if event == "end" else None,
        )
    driver_ms = {"driver_ms": searcher.reporting_s, "suggest_ms": searcher.suggesting_s}
    return ends_s, {key: round(1000 * spent_s / trials, 2) for key, spent_s in driver_ms.items()}


def nested(place: Path) -> list[float]:
    """Times at which the trials of Ray's nested pattern ended."""

    def on_worker() -> None:
        train.report({"error": 1.0})

    def trial(config: dict[str, Any]) -> None:
        TorchTrainer(
            on_worker,
            scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                storage_path=str(place / "nested"),
                name=f"nested-{config['number']}",
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    # The function only waits for its worker, which needs the CPU.
    return tuned(tune.with_resources(trial, {"CPU": 0.001}), NESTED, 1, place, reuse=False)


class Bare(tune.Trainable):  # type: ignore[misc]
    """A trial of bare Tune: one step that does nothing, in an actor that takes the next trial after it."""

    def step(self) -> dict[str, Any]:
        return {"error": 1.0, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return


def bare(place: Path, trials: int, lanes: int) -> list[float]:
    """Times at which the trials of bare Tune ended."""
    actors = tune.PlacementGroupFactory(LANE_RESOURCES)
    return tuned(tune.with_resources(Bare, actors), trials, lanes, place, reuse=True)


def lean(place: Path, trials: int, lanes: int) -> list[float]:
    """Times at which the trials of bare Tune ended that keeps nothing."""
    actors = tune.PlacementGroupFactory(LANE_RESOURCES)
    kept = tune.CheckpointConfig(checkpoint_at_end=False)
    with quiet():
        return tuned(tune.with_resources(Bare, actors), trials, lanes, place, reuse=True, checkpoint_config=kept)


def tuned(trainable: Any, trials: int, at_once: int, place: Path, *, reuse: bool, **run_settings: Any) -> list[float]:
    clock = Clock()
    tune.Tuner(
        trainable,
        param_space={"number": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=at_once, reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(place / "tune"), verbose=0, callbacks=[clock], **run_settings),
    ).fit()
    return clock.ends_s


def a_trial_s(turns: list[list[float]]) -> float:
    """Median seconds from the end of one trial to the end of the next, which leave out the start of what stays warm."""
    between_s = [after - before for ends_s in turns for before, after in itertools.pairwise(ends_s)]
    return round(statistics.median(between_s), 4)


def measure(trials: int, lanes: int, turns: int) -> dict[str, float]:
    paths = [str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # As where a search starts its Ray: another one on this machine must not take our workers for its own.
    os.environ.update(APART)
    # Ray is told of a CPU for each lane's worker and one for a nested trial's, however few there are: they do nothing.
    ray.init(address="local", num_cpus=lanes + 1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ends_s: dict[str, list[list[float]]] = {"ours": [], "bare": [], "lean": [], "nested": []}
    driver_ms: list[dict[str, float]] = []
    # Ray and Tune print to stdout, which is for data.
    with contextlib.redirect_stdout(sys.stderr):
        for _ in range(turns):
            with tempfile.TemporaryDirectory() as place:
                own_ends_s, spent_ms = ours(Path(place), trials, lanes)
                ends_s["ours"].append(own_ends_s)
                driver_ms.append(spent_ms)
                ends_s["bare"].append(bare(Path(place), trials, lanes))
                ends_s["lean"].append(lean(Path(place), trials, lanes))
        with tempfile.TemporaryDirectory() as place:
            ends_s["nested"].append(nested(Path(place)))
    ray.shutdown()
    found: dict[str, float] = {"trials": trials, "lanes": lanes, "turns": turns}
    found |= {f"{name}_s": a_trial_s(of) for name, of in ends_s.items()}
    found |= {key: round(statistics.median(spent[key] for spent in driver_ms), 2) for key in driver_ms[0]}
    for name in ("ours", "bare", "lean"):
        found[f"{name}_total_s"] = round(statistics.median(one[-1] - one[0] for one in ends_s[name]), 1)
    found["nested_ratio"] = round(found["nested_s"] / found["ours_s"], 1)
    found["total_ratio"] = round(found["ours_total_s"] / found["bare_total_s"], 3)
    found["lean_ratio"] = round(found["ours_total_s"] / found["lean_total_s"], 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--turns", type=int, default=1, help="times that ours, bare and lean are measured")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.trials, args.lanes, args.turns)
    if args.json:
        print(json.dumps(found))
        return
    each = "ours {ours_s} s, nested {nested_s} s, bare {bare_s} s, lean {lean_s} s".format(**found)
    print(f"{args.lanes} lanes; a trial that does nothing: {each}")
    print("nested / ours: {nested_ratio}".format(**found))
    print("{trials} of them: ours {ours_total_s} s, bare {bare_total_s} s, {total_ratio}".format(**found))
    print("lean {lean_total_s} s, {lean_ratio}".format(**found))
    print("driver, beside Tune: {driver_ms} ms a report, {suggest_ms} ms a suggestion".format(**found))


if __name__ == "__main__":
    main()
