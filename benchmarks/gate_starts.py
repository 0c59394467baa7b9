"""Which units do gates keep, and is it the loss or their start that decides? Shares of each family that are left.

The first rows are gates alone: the teacher of `hjpruning-starts-an4`, its penalty and its optimiser, without any loss.
Whatever they prefer, nothing has told them. The other rows are the trials of searches with that document, in which the
gates learn together with the task. If a start is fair, the shares of its first rows are equal; if the task decides, the
shares of the other rows differ from them.

    for seed in 0 1 2; do raysearch search hjpruning-starts-an4 --name starts-$seed --set search.seed=$seed; done
    python benchmarks/gate_starts.py starts-0 starts-1 starts-2 [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from raysearch import open_search
from raysearch.encoder.cost import sizes_of
from raysearch.encoder.gates import GateSet
from raysearch.methods.pruning.budget import budgets
from raysearch.methods.pruning.lagrangian import Lagrangian, even_steps, gate_group, settle
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.teachers.settings import TrainedTeacher

TEACHER = TrainedTeacher(source="train", method="ctc", depth=4, width=192).encoder()
UPDATES = 150
"""Updates before the slice in the document: 60 % of 250."""
FAMILIES = ("channels", "heads", "ffn")
MEASURES = ("pruning/undecided", "pruning/loss_before", "pruning/loss_after", "eval/per", "test/per")


def alone(start: str, ratio: float, seed: int) -> dict[str, Any]:
    """The shares that gates keep of each family when nothing but the penalty teaches them."""
    torch.manual_seed(seed)
    settings = PruningSettings.model_validate({"macs_ratio": ratio, "ramp": 0.3, "ffn_drop": start})
    gates = GateSet(TEACHER, settings.units, settings.drop, settings.ffn_rate, settings.temperature)
    even_steps(gates)
    goals = budgets(settings, TEACHER, TEACHER)
    lagrangian = Lagrangian(goals, round(settings.ramp * UPDATES), settings.multiplier_lr, settings.stiffness)
    group = gate_group(settings, UPDATES)
    # As the trainer builds it.
    optimiser = torch.optim.AdamW(gates.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)
    for step in range(UPDATES):
        optimiser.param_groups[0]["lr"] = group.lr * group.schedule(step)
        optimiser.zero_grad()
        lagrangian(gates.expected(), step)[0].backward()
        nn.utils.clip_grad_norm_(gates.parameters(), group.clip)
        optimiser.step()
    left = settle(gates, goals).sizes._asdict()
    full = sizes_of(TEACHER)._asdict()
    shares = {family: sum(left[family]) / sum(full[family]) for family in FAMILIES}
    return {"start": start, "loss": "none", "seed": seed, **shares, "pruning/undecided": gates.undecided().item()}


def trained(name: str) -> Iterator[dict[str, Any]]:
    """The same of each complete trial of a search, with its losses and errors."""
    search = open_search(name)
    for trial in search.document.trials:
        if trial.state != "complete":
            continue
        units = json.loads((search.folder.trial(trial.number) / "left.json").read_text(encoding="utf-8"))
        yield {
            "start": trial.config["pruning.ffn_drop"],
            "loss": "task",
            "seed": search.spec.search.seed,
            **{family: sum(units[family]["left"]) / sum(units[family]["before"]) for family in FAMILIES},
            **{measure: trial.metrics[measure] for measure in MEASURES if measure in trial.metrics},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("searches", nargs="*", help="names of searches with the document hjpruning-starts-an4")
    parser.add_argument("--ratio", type=float, default=0.5, help="share of the MACs that stays in the first rows")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the first rows")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = [alone(start, asked.ratio, seed) for start in ("published", "equal") for seed in range(asked.seeds)]
    rows += sorted((row for name in asked.searches for row in trained(name)), key=lambda row: str(row["start"]))
    if asked.json:
        print(json.dumps({"rows": rows}, indent=2))
        return
    titles = [name.partition("/")[2] or name for name in (*FAMILIES, *MEASURES)]
    print(f"{'start':>10} {'loss':>5} {'seed':>4} " + " ".join(f"{title:>11}" for title in titles))
    for row in rows:
        values = " ".join(f"{row[key]:11.3f}" if key in row else f"{'-':>11}" for key in (*FAMILIES, *MEASURES))
        print(f"{row['start']:>10} {row['loss']:>5} {row['seed']:>4} {values}")


if __name__ == "__main__":
    main()
