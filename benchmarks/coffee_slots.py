"""Reads the slots of spoken coffee orders: with a pruned encoder, with the whole one, and by guessing.

    python benchmarks/coffee_slots.py --ratios 1.0 0.6

It runs configurations of search_spaces/hjpruning-coffee.yaml one after the other, without Ray. `raysearch search` on
the same document does the same in lanes. Guessing takes the most frequent value of each slot in train. A run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.corpora.corpus import Corpus
from raysearch.evidence.resampling import share
from raysearch.lanes.workplace import Workplace
from raysearch.search.costs import encoder_cost
from raysearch.spec.loading import load_spec
from raysearch.targets.store import Store
from raysearch.tasks.fields.counted import counted_interval, f1
from raysearch.tasks.fields.fields import ABSENT, Fields, request_values
from raysearch.tasks.fields.intent import slot_counts
from raysearch.tasks.fields.task import FieldReadings

SPEC = Path(__file__).parent.parent / "search_spaces" / "hjpruning-coffee.yaml"


def guessing(corpus: Corpus) -> dict[str, float]:
    """Figures on test, in percent, of always answering with the most frequent value of each slot."""
    splits = {split: [request_values(cut) or {} for cut in corpus.splits[split]] for split in ("train", "test")}
    fields = Fields.from_values(splits["train"])
    often = {
        name: Counter(values.get(name, ABSENT) for values in splits["train"]).most_common(1)[0][0]
        for name in fields.values
    }
    readings = FieldReadings(fields, splits["test"], [often] * len(splits["test"]))
    errors = readings.errors
    exact = np.stack([errors[:, 1] - errors[:, 0], errors[:, 1]], axis=1)
    return {
        **counted_interval([slot_counts(readings)], f1, seed=0).metrics("test/slot_f1"),
        **counted_interval([exact], share, seed=0).metrics("test/exact_match"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratios", nargs="+", type=float, default=[1.0, 0.6])
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=Path("searches/coffee-slots"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    workplace = Workplace.prepared(load_spec(SPEC, args.overrides), Store(args.store), torch.device("cpu"))
    rows: list[dict[str, Any]] = [{"what": "guessing", **guessing(workplace.corpus)}]
    teacher = encoder_cost(workplace.teacher.encoder.config).macs_g
    for ratio in args.ratios:
        config = {"method": "hjpruning", "pruning.macs_ratio": ratio}
        folder = args.store / "runs" / f"{ratio:g}-{args.seed}"
        # Only the last report holds errors on test.
        (*_, last) = workplace.run(0, config, args.seed, folder)
        rows.append({"what": f"{last.metrics['cost/macs_g'] / teacher:.0%} of the MACs", **last.metrics})
        (folder / "row.json").write_text(json.dumps(rows[-1]))
    if args.json:
        print(json.dumps(rows))
        return
    print("test, 95 % intervals        GMAC   slot F1 %             exact match %")
    for row in rows:
        figures = [
            f"{row[key]:5.1f} ({row[f'{key}_low']:.1f} to {row[f'{key}_high']:.1f})"
            for key in ("test/slot_f1", "test/exact_match")
        ]
        print(f"{row['what']:26s} {row.get('cost/macs_g', 0):6.2f}   {figures[0]:20s}  {figures[1]}")


if __name__ == "__main__":
    main()
