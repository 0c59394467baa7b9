"""Seconds that a trial costs beside its training: warm lanes, Ray's nested pattern, and a bare Tune actor.

    python benchmarks/trial_overhead.py [--json]

Every trial reports one number and does nothing else. `ours`: lanes as a search runs them. `nested`: what Ray documents
for distributed trials, a TorchTrainer with `TuneReportCallback` inside a Tune function. `bare`: a Tune class with
reused actors and no workers, the least that Tune itself costs. Medians of the times between the ends of two trials.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import train, tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

FAKES = Path(__file__).parent.parent / "tests" / "search"
OURS, NESTED, BARE = 30, 3, 30
"""Trials of each kind; nested ones are dear."""


class Clock(tune.Callback):  # type: ignore[misc]
    """When trials ended."""

    def __init__(self) -> None:
        self.ends_s: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ends_s.append(time.monotonic())


def ours_s(place: Path) -> float:
    """A search of the method that does nothing."""
    sys.path.insert(0, str(FAKES))
    from fake_search import drive, make_search

    ends_s: list[float] = []
    folder = make_search(place, {}, trials=OURS, lanes=1)
    drive(folder, heard=lambda event, _: ends_s.append(time.monotonic()) if event == "end" else None)
    return between(ends_s)


def nested_s(place: Path) -> float:
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

    return tuned(tune.with_resources(trial, {"CPU": 0}), NESTED, place, reuse=False)


class Bare(tune.Trainable):  # type: ignore[misc]
    def step(self) -> dict[str, Any]:
        return {"error": 1.0, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return


def bare_s(place: Path) -> float:
    return tuned(tune.with_resources(Bare, {"CPU": 1}), BARE, place, reuse=True)


def tuned(trainable: Any, trials: int, place: Path, *, reuse: bool) -> float:
    clock = Clock()
    tune.Tuner(
        trainable,
        param_space={"number": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(place / "tune"), verbose=0, callbacks=[clock]),
    ).fit()
    return between(clock.ends_s)


def between(ends_s: list[float]) -> float:
    """The median time from one trial's end to the next one's: without the start of what stays warm."""
    return statistics.median(after - before for before, after in itertools.pairwise(ends_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Ray and Tune print to stdout, which is for data.
    stdout, sys.stdout = sys.stdout, sys.stderr
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    paths = [str(FAKES), str(FAKES.parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as place:
        found = {
            "ours_s": round(ours_s(Path(place)), 3),
            "nested_s": round(nested_s(Path(place)), 3),
            "bare_s": round(bare_s(Path(place)), 3),
        }
    ray.shutdown()
    found["ratio"] = round(found["nested_s"] / found["ours_s"], 1)
    sys.stdout = stdout
    if args.json:
        print(json.dumps(found))
        return
    print(
        f"a trial that does nothing: ours {found['ours_s']} s, nested {found['nested_s']} s, bare {found['bare_s']} s"
    )
    print(f"nested / ours: {found['ratio']}")


if __name__ == "__main__":
    main()
