"""Is a search of feature distillation faster if it keeps its teacher's hidden states? Trials with and without, in turn.

The same configurations of `distilhubert` are trained twice, with the same seeds: with the teacher in every update, and
on hidden states that are kept. The two take turns, so that both meet the same machine, and which of them comes first
changes from trial to trial. Every trial is judged on dev and test after its last update, as in a search. Ray is left
out: it takes as long for one as for the other. The first trial on kept states also computes the log-mel bins that stay.

The teacher should have learned to read: one whose states hardly differ from frame to frame leaves all errors to chance.

`online_s` and `kept_s` are all trials together, the latter with the `making_s` in which the teacher makes the states,
and `ratio` is the one over the other. `trial_ratio` is the median over configurations of the seconds online over those
on kept states, with quartiles. `training_ratio` is that of the training alone. `error_difference` is the mean of the
error on kept states less that online, in points, and `largest_difference` the largest of any trial. Rounding to fp16
turns steps of AdamW round, so that errors are not equal to the last digit. The tolerance is what the dev split itself
leaves open: `within_interval` counts the trials whose error on kept states lies in the 95 % interval of that online.

    python benchmarks/kept_features.py [--json] [--trials 12] [--updates 80] [--teacher '{source: "hf:DIR"}']

Half an hour of AN4 is the default corpus, and Whisper base's encoder the default teacher. `--corpus`, here
`{kind: synthetic}`, and `--teacher`, here `{source: train, depth: 6, updates: 700}`, need nothing on disk. A teacher
that is trained is kept in `--store` if one is given. A search of the usual size has `--updates 300`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from raysearch.encoder.cost import macs_superb
from raysearch.lanes.workplace import Workplace
from raysearch.search.costs import Costs
from raysearch.search.sampler import derived_seed
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import Store

ARMS = {"online": 0.0, "kept": 1000.0}
"""Values of `search.keep_features_gb` by the name of the arm."""
METHOD = "distilhubert"
WHISPER = "{source: 'hf:../shared/data/teachers/whisper-base-encoder'}"
LAYERS = [2, 4, 6]
"""Blocks of the teacher whose hidden states are imitated."""
ERRORS = {"error": "per", "low": "per_low", "high": "per_high"}
AN4 = "{kind: an4, root: ../shared/data/asr/an4}"


def document(args: argparse.Namespace, keep: float) -> dict[str, Any]:
    """The search: the space of `all-methods-an4`, under another teacher."""
    return {
        "name": "kept-features",
        "corpus": yaml.safe_load(args.corpus),
        "teacher": yaml.safe_load(args.teacher),
        "task": {"kind": "phonemes"},
        "method": METHOD,
        "student": {"position_kernel": 15, "heads": 4},
        "distillation": {"layers": LAYERS},
        "training": {"batch_s": 40, "dropout": 0.0, "lr": 2e-3, "checkpoint_updates": 100},
        "space": {
            "student.channels": {"choice": [32, 128, 256]},
            "student.depth": {"int": [1, 4]},
            "student.width": {"choice": [64, 96, 128, 192, 256]},
        },
        "search": {"trials": args.trials, "updates": args.updates, "seed": args.seed, "keep_features_gb": keep},
    }


def trial(place: Workplace, config: Mapping[str, Any], number: int, folder: Path) -> dict[str, float]:
    """Seconds of a whole trial and of its training alone, and its error on dev in percent, with its interval."""
    started = time.perf_counter()
    *_, last = place.run(number, config, derived_seed(place.spec.search.seed, number), folder)
    seconds = time.perf_counter() - started
    curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    error = {name: last.metrics[f"eval/{key}"] for name, key in ERRORS.items()}
    return {"seconds": seconds, "training_s": curve[-1]["seconds"], **error}


def measure(args: argparse.Namespace, store: Store, folder: Path) -> dict[str, Any]:
    """All trials of both arms, with what they come to."""
    specs = {arm: parse_spec(document(args, keep), where="kept_features") for arm, keep in ARMS.items()}
    online = Workplace.prepared(specs["online"], store, torch.device("cpu"))
    kept = Workplace(specs["kept"], Store(folder / "kept"), online.teacher_folder, online.device)
    places = {"online": online, "kept": kept}
    for place in places.values():
        # Corpus and teacher are read before the clock starts, as by a lane that is warm.
        assert len(place.corpus.splits["train"])
        assert place.teacher.key
    settings = kept.spec.settings({"method": METHOD})
    started = time.perf_counter()
    student = settings.student.encoder()
    assert kept.kept_features(METHOD, settings.distillation.layers, student, settings.training) is not None
    making_s = time.perf_counter() - started
    print(f"states made in {making_s:.0f} s", file=sys.stderr, flush=True)
    rng = np.random.default_rng(args.seed)
    rows = []
    costs = Costs(online.spec, online.teacher.encoder.config)
    for number in range(args.trials):
        config = online.spec.search_space.draw(rng)
        arms = list(places)[:: -1 if number % 2 else 1]
        found = {arm: trial(places[arm], config, number, folder / f"{arm}-{number}") for arm in arms}
        rows.append({"config": config, "macs_g": costs(config).macs_g, **found})
        print(f"trial {number}: {found}", file=sys.stderr, flush=True)
    features = kept.store.features
    size = sum(map(features.size, features.ls()))
    macs_g = macs_superb(online.teacher.encoder.config) / 1e9
    return summary(rows, making_s) | {"bytes": size, "teacher_macs_g": macs_g, "trials": rows}


def summary(rows: list[dict[str, Any]], making_s: float) -> dict[str, Any]:
    """What the trials come to, with the seconds in which the states were made."""

    def of(arm: str, key: str) -> np.ndarray:
        return np.array([row[arm][key] for row in rows])

    ratios = {key: of("online", key) / of("kept", key) for key in ("seconds", "training_s")}
    differences = of("kept", "error") - of("online", "error")
    within = (of("online", "low") <= of("kept", "error")) & (of("kept", "error") <= of("online", "high"))
    online_s, kept_s = float(of("online", "seconds").sum()), making_s + float(of("kept", "seconds").sum())
    return {
        "online_s": online_s,
        "kept_s": kept_s,
        "making_s": making_s,
        "ratio": online_s / kept_s,
        "trial_ratio": float(np.median(ratios["seconds"])),
        "trial_ratio_quartiles": np.percentile(ratios["seconds"], (25, 75)).tolist(),
        "training_ratio": float(np.median(ratios["training_s"])),
        "training_ratio_quartiles": np.percentile(ratios["training_s"], (25, 75)).tolist(),
        "error_difference": float(differences.mean()),
        "largest_difference": float(differences[np.abs(differences).argmax()]),
        "within_interval": int(within.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--updates", type=int, default=80, help="of each trial")
    parser.add_argument("--teacher", default=WHISPER, help="as a search document has it")
    parser.add_argument("--corpus", default=AN4, help="as a search document has it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, help="folder for the teacher; by default it is thrown away")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Store(args.store or Path(folder, "store")), Path(folder))
    asked = {"updates": args.updates, "teacher": args.teacher, "threads": args.threads}
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    if args.json:
        print(json.dumps({**asked, **machine, **found}, indent=2))
        return
    print(f"{args.trials} trials of distilhubert, {args.updates} updates each; {machine}")
    print(f"teacher: {found['teacher_macs_g']:.1f} GMAC")
    print(f"{'trial':>5} {'GMAC':>5} {'online s':>9} {'kept s':>9} {'online PER %':>13} {'kept PER %':>11}")
    for number, row in enumerate(found["trials"]):
        one, other = row["online"], row["kept"]
        line = f"{number:5} {row['macs_g']:5.1f} {one['seconds']:9.1f} {other['seconds']:9.1f}"
        print(f"{line} {one['error']:13.2f} {other['error']:11.2f}")
    print(f"in all {found['online_s']:.0f} s online, {found['kept_s']:.0f} s kept: {found['ratio']:.2f} times faster")
    for name, key in (("a trial", "trial_ratio"), ("its training", "training_ratio")):
        low, high = found[f"{key}_quartiles"]
        print(f"{name}: {found[key]:.2f} times faster (median; quartiles {low:.2f} to {high:.2f})")
    print(f"making the states: {found['making_s']:.0f} s, counted with kept; {found['bytes'] / 1e6:.0f} MB on disk")
    print(f"error: {found['error_difference']:+.2f} points in the mean, at most {found['largest_difference']:+.2f};")
    print(f"{found['within_interval']} of {args.trials} lie in the 95 % interval of the error online")


if __name__ == "__main__":
    main()
