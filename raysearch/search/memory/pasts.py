"""What a search keeps of a past search that it learns from: little, and all that a model of the error needs."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raysearch.errors import counted
from raysearch.files.gzipped import unpacked
from raysearch.front.objective import axes
from raysearch.front.objective import value as objective_value
from raysearch.front.record import Record
from raysearch.spec.space import Config

FEWEST_OWN = 3
"""Least observations of a search by which a past can be judged."""
BEYOND = 2.0
"""Standard deviations of what chance would give that are taken off a past's tau. With one of them, pasts that rank
hardly better than by chance cost time."""


@dataclass(frozen=True)
class Tried:
    """One trial of a past search."""

    config: Config
    macs_g: float
    error: float | None
    """Error on dev in percent. None if training diverged."""
    share: float
    """Share of the budget after which it had this error; 1 of a complete trial."""


@dataclass(frozen=True)
class Past:
    """What is kept of one past search."""

    source: str
    """What the document of this search calls it by."""
    name: str
    judged_by: str
    """Its error, with the task where the name of the error does not say it."""
    methods: list[str]
    space: dict[str, dict[str, Any]]
    """Its distributions by dotted key, as in a document, without their conditions."""
    tried: list[Tried]

    @classmethod
    def of(cls, record: Record, source: str) -> Past:
        """What is worth keeping of a record."""
        error, spec = axes(record.document.objectives)[1], record.spec
        method = spec["method"]
        space = {key: {k: v for k, v in one.items() if k != "when"} for key, one in spec.get("space", {}).items()}
        return cls(
            source,
            record.document.name,
            judged_by(spec, error),
            [method] if isinstance(method, str) else list(method["choice"]),
            space,
            list(_tried(record, error)),
        )

    @property
    def complete(self) -> int:
        """Trials that were run to their end."""
        return sum(one.error is not None and one.share == 1 for one in self.tried)

    def packed(self) -> str:
        """The past as a study keeps it, in some thousand letters."""
        return base64.b64encode(gzip.compress(json.dumps(asdict(self)).encode(), mtime=0)).decode()

    @classmethod
    def unpack(cls, packed: str) -> Past:
        """The past that was packed."""
        document = json.loads(unpacked(base64.b64decode(packed)))
        return cls(**{**document, "tried": [Tried(**one) for one in document["tried"]]})


def judged_by(spec: Mapping[str, Any], error: str) -> str:
    """The error of a document, and the kind of its task where several tasks have an error of that name."""
    tasks = spec["task"] if isinstance(spec["task"], list) else [spec["task"]]
    kinds = [task["kind"] for task in tasks if task["kind"] in ("classification", "intent", "slots")]
    return f"{error} of {kinds[0]}" if error == "error" and kinds else error


def weight(tau: float, count: int) -> float:
    """What a past counts that ranks so many trials by this tau: what exceeds chance twice over."""
    return max(0.0, tau - BEYOND * chance(count))


def chance(count: int) -> float:
    """Standard deviation of Kendall's tau between so many numbers and an order that has nothing to do with them."""
    return math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))


def standing(pasts: Sequence[Past], taus: Sequence[float], judged_on: int) -> list[dict[str, Any]]:
    """What a search learns from, as `status --json` prints it.

    `taus` say how each past ranks so many trials of the search, if that is known. Studies of earlier versions do not
    say how many: 0.
    """
    known = [*taus, *[math.nan] * len(pasts)][: len(pasts)]
    return [
        {
            "name": past.name,
            "trials": past.complete,
            "tau": None if math.isnan(tau) else tau,
            "weight": None if math.isnan(tau) or judged_on < FEWEST_OWN else weight(tau, judged_on),
        }
        for past, tau in zip(pasts, known, strict=True)
    ]


def learns_from(standing: Sequence[Mapping[str, Any]]) -> str:
    """The same in one line."""
    each = []
    for one in standing:
        words = [] if one["tau"] is None else [f"tau {one['tau']:.2f}"]
        counts = one["tau"] if one["weight"] is None else one["weight"]
        words += ["counts nothing"] if words and counts <= 0 else []
        each.append(f"{one['name']} ({', '.join([*words, counted(one['trials'], 'trial')])})")
    return f"learns from {'1 search' if len(each) == 1 else f'{len(each)} searches'}: {', '.join(each)}"


def _tried(record: Record, error: str) -> Sequence[Tried]:
    search = record.spec.get("search", {})
    found = []
    for trial in record.document.trials:
        measured = objective_value(trial, error)
        judged = trial.state in ("complete", "stopped") and math.isfinite(measured)
        if trial.repeats is not None or trial.refused or not (judged or trial.cause == "nan"):
            continue
        budget = search.get("updates_of", {}).get(trial.method, search.get("updates", 0))
        share = min(1.0, trial.rung / budget) if trial.state == "stopped" and trial.rung and budget else 1.0
        found.append(Tried(dict(trial.config), trial.cost.macs_g, measured if judged else None, share))
    return found
