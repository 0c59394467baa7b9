"""Compares UnFuSeD with its controls and with fine-tuning the self-supervised teacher, with few and with all labels.

    python benchmarks/unfused_labels.py --seeds 0 1 2 3 4

The teacher is trained once on the corpus's training audio, without labels. Every arm ends in the same fine-tuning, with
the same labels, batches and updates for one seed, so that differences are paired by seed. Errors are those on test, by
which nothing is chosen. UnFuSeD's student has half of the teacher's parameters. Rows are kept in `--rows` as they come.
A second run goes on from there, and two runs at once can share them if each has seeds of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import LabelledSettings
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.cost import macs_superb, params
from raysearch.methods.trial import Trial
from raysearch.methods.unfused.settings import UnfusedSettings
from raysearch.methods.unfused.unfused import Unfused
from raysearch.targets.pseudo_labels import build_pseudo_labels
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.targets.store import FolderStore
from raysearch.tasks.fields.classification import Classification
from raysearch.tasks.settings import ClassificationSettings
from raysearch.teachers.loading import load_teacher
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.recipe import not_evaluated

ARMS = ("none", "ssl", "random", "shuffled", "oracle")
"""Values of `distillation.control`, one for each arm. `none` is UnFuSeD itself."""
SHARES = (0.1, 1.0)
"""Shares of the labels with which each arm is fine-tuned."""
CPU = torch.device("cpu")
RANGE_DB = 40.0
SEGMENTS = 4
TEACHER = TrainedTeacher(
    method="hubert", depth=2, width=128, channels=64, clusters=50, updates=150, batch_s=30, range_db=RANGE_DB
)


def settings_of(arm: str, args: argparse.Namespace) -> UnfusedSettings:
    """UnFuSeD's settings for an arm, which is a value of `distillation.control`."""
    return UnfusedSettings.model_validate(
        {
            "student": {"depth": 3, "channels": 16, "width": 448, "range_db": RANGE_DB},
            "targets": {
                "window_s": 0,
                "segments": SEGMENTS,
                "layer": args.layer,
                "pca": 32,
                "clusters": args.clusters,
                "restarts": 3,
                "iterations": 100,
            },
            "distillation": {"control": arm, "window_s": 0},
            "training": {"lr": 2e-3, "batch_s": args.batch_s, "dropout": 0.1},
        }
    )


def tuning(arm: str, share: float, args: argparse.Namespace) -> ClassificationSettings:
    """How an arm is fine-tuned. Only the encoder's learning rate differs: a trained transformer wants a lower one."""
    return ClassificationSettings(
        mode="finetune",
        labels=share,
        updates=args.tuning_updates,
        batch_s=args.batch_s,
        segments=SEGMENTS,
        encoder_lr=args.ssl_lr if arm == "ssl" else 2e-3,
    )


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields a row for each seed, arm and share of labels that is not there yet."""
    corpus = read_corpus(LabelledSettings(root=args.corpus), args.store / "corpora")
    folder = prepare_teacher(TEACHER, corpus, FolderStore(args.store / "teachers"), CPU)
    teacher = load_teacher(folder, CPU)
    done = {(row["corpus"], row["seed"], row["arm"], row["labels"]) for row in read_rows(args.rows)}

    def pseudo_labels(settings: PseudoLabelSettings) -> Any:
        store = FolderStore(args.store / "pseudo_labels")
        return build_pseudo_labels(settings, teacher, corpus, store, CPU, args.batch_s)

    for seed in args.seeds:
        for arm in args.arms:
            shares = [share for share in SHARES if (corpus.name, seed, arm, share) not in done]
            if not shares:
                continue
            settings = settings_of(arm, args)
            trial = Trial(
                number=seed,
                settings=settings,
                corpus=corpus,
                teacher=teacher,
                label_set=lambda _: None,  # type: ignore[arg-type, return-value]
                evaluate=not_evaluated,
                rungs=(args.updates,),
                folder=args.store / "runs" / f"{corpus.name}-{arm}-{seed}",
                device=CPU,
                seed=seed,
                pseudo_labels=pseudo_labels,
            )
            for report in Unfused().run(trial):
                quality = {k: v for k, v in report.metrics.items() if k.startswith("targets/")}
            student = load_encoder(trial.folder / "student").eval()
            for share in shares:
                found = Classification(tuning(arm, share, args)).evaluate(
                    student, corpus, test=True, device=CPU, seed=seed
                )
                assert found.test is not None
                yield {
                    "corpus": corpus.name,
                    "seed": seed,
                    "arm": arm,
                    "labels": share,
                    "cuts": found.details["labels"],
                    "error": found.test.value,
                    "macro_f1": found.test.others["macro_f1"].value,
                    "dev_error": found.dev.value,
                    "params_m": params(student.config) / 1e6,
                    "macs_g": macs_superb(student.config) / 1e9,
                    **quality,
                }


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each corpus, share of labels and arm: its mean error, and how much less that is than the arm `ssl` has.

    The difference is taken seed by seed, with its 95 % interval by Student's t.
    """
    found = []
    for name, share in sorted({(row["corpus"], row["labels"]) for row in rows}):
        errors = {
            arm: {row["seed"]: row for row in rows if (row["corpus"], row["labels"], row["arm"]) == (name, share, arm)}
            for arm in ARMS
        }
        for arm, own in errors.items():
            paired = sorted(own.keys() & errors["ssl"].keys())
            gains = np.array([errors["ssl"][seed]["error"] - own[seed]["error"] for seed in paired])
            values = np.array([row["error"] for row in own.values()])
            if not len(values):
                continue
            half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains) if len(gains) > 1 else np.nan
            one = next(iter(own.values()))
            found.append(
                {
                    "corpus": name,
                    "labels": share,
                    "arm": "unfused" if arm == "none" else arm,
                    "seeds": len(values),
                    "params_m": one["params_m"],
                    "macs_g": one["macs_g"],
                    "error": float(values.mean()),
                    "deviation": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
                    "gain": float(gains.mean()) if len(gains) else float("nan"),
                    "gain_low": float(gains.mean() - half) if len(gains) else float("nan"),
                    "gain_high": float(gains.mean() + half) if len(gains) else float("nan"),
                }
            )
    return found


def quality(rows: list[dict[str, Any]]) -> list[str]:
    """Lines that say how well the pseudo-labels of each corpus agree with its labels, beside random ones."""
    found = {row["corpus"]: row for row in rows if "targets/nmi" in row}
    figures = ("nmi", "ari", "purity")
    return [
        f"pseudo-labels of {name}: "
        + ", ".join(f"{f} {row[f'targets/{f}']:.2f} (random {row[f'targets/{f}_random']:.2f})" for f in figures)
        for name, row in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/data/cls/digits"))
    parser.add_argument("--clusters", type=int, default=30)
    parser.add_argument("--ssl-lr", type=float, default=1e-3)
    parser.add_argument("--layer", type=int, default=-1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--updates", type=int, default=100, help="of self-distillation")
    parser.add_argument("--tuning-updates", type=int, default=100)
    parser.add_argument("--batch-s", type=float, default=30.0)
    parser.add_argument("--store", type=Path, default=Path("searches/unfused-labels"))
    parser.add_argument("--rows", type=Path, default=Path("searches/unfused-labels/rows.jsonl"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    args.store.mkdir(parents=True, exist_ok=True)
    for row in measure(args):
        with args.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
    kept = read_rows(args.rows)
    rows = summary(kept)
    if args.json:
        print(json.dumps(rows))
        return
    print("corpus     labels  arm       seeds  params M  GMAC   error %        less than ssl, 95 % interval")
    for row in rows:
        print(
            f"{row['corpus']:9s}  {row['labels']:5.0%}  {row['arm']:9s} {row['seeds']:4d}  {row['params_m']:8.3f}  "
            f"{row['macs_g']:5.1f}  {row['error']:5.1f} +- {row['deviation']:4.1f}  "
            f"{row['gain']:6.1f}  ({row['gain_low']:.1f} to {row['gain_high']:.1f})"
        )
    print("\n".join(quality(kept)))


if __name__ == "__main__":
    main()
