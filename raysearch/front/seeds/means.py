"""Averages searches that tried the same configurations with different seeds.

Each configuration gets its mean error, with an interval that says how far other seeds would move it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite, nan, sqrt
from statistics import fmean, stdev
from typing import Any

from raysearch.errors import InputError
from raysearch.front.document import SearchDocument
from raysearch.front.objective import axes, header, value
from raysearch.front.table import Column, fitted, setting_text, short_name, varying_settings
from raysearch.front.trials import Cost, Measured, TrialRecord
from raysearch.settings import Outcome

SPLIT_NAMES = {"eval": "dev", "test": "test"}
"""Name of each split, by the word with which its metrics begin."""
LEVEL = 0.95
"""Confidence level of the intervals."""


class MeanOverSeeds(Outcome):
    """The mean of a number that was measured once in each search."""

    values: list[Measured]
    """The number in each search, in the order of the searches."""
    mean: Measured
    """Mean of the values."""
    half: Measured
    """Half the width of the mean's 95 % interval, by Student's t. NaN for one search, or if one lacks the number."""

    @classmethod
    def of(cls, values: Sequence[float]) -> MeanOverSeeds:
        """The mean of these values, with its interval."""
        # Whoever reads a front reads this file too, and most fronts have no seeds to average.
        from scipy.stats import t as student_t

        count = len(values)
        spread = stdev(values) / sqrt(count) if count > 1 and all(map(isfinite, values)) else nan
        return cls(
            values=list(values), mean=fmean(values), half=spread * float(student_t.ppf((1 + LEVEL) / 2, count - 1))
        )


class ConfigOverSeeds(Outcome):
    """One configuration that was run in every search."""

    config: dict[str, Any]
    """The configuration: flat dotted keys, `method` among them."""
    cost: Cost
    """Mean cost over the searches."""
    error: dict[str, MeanOverSeeds]
    """Error in percent on each split, `eval` for dev and `test`."""
    change: dict[str, MeanOverSeeds]
    """Error minus the error of the dearest configuration in the same search, in percent, on each split."""


def average_over_seeds(documents: Sequence[SearchDocument]) -> list[ConfigOverSeeds]:
    """Averages each configuration that is complete in every search; the dearest comes first.

    Raises: InputError if there is no such configuration.
    """
    _, error = axes(documents[0].objectives)
    by_config = [{_identity(t): t for t in document.trials if t.state == "complete"} for document in documents]
    shared = [key for key in by_config[0] if all(key in trials for trials in by_config)]
    if not shared:
        names = ", ".join(document.name for document in documents)
        raise InputError(f"{names}: no configuration is complete in all; expected searches that differ in their seed")
    rows = sorted(([trials[key] for trials in by_config] for key in shared), key=lambda row: -_cost(row).macs_g)
    return [
        ConfigOverSeeds(
            config=row[0].config,
            cost=_cost(row),
            error={split: MeanOverSeeds.of([value(t, error, split) for t in row]) for split in SPLIT_NAMES},
            # Pairs within one search have the same seed: what the seed does to both of them cancels.
            change={
                split: MeanOverSeeds.of(
                    [value(t, error, split) - value(whole, error, split) for t, whole in zip(row, rows[0], strict=True)]
                )
                for split in SPLIT_NAMES
            },
        )
        for row in rows
    ]


def seeds_table(documents: Sequence[SearchDocument], width: int | None = None) -> str:
    """The averages as a table to read, at most `width` characters wide: mean +- half of the 95 % interval."""
    rows = average_over_seeds(documents)
    _, error = axes(documents[0].objectives)
    keys = varying_settings([trial for document in documents for trial in document.trials])
    if len({row.config.get("method") for row in rows}) > 1:
        keys.insert(0, "method")
    columns = [
        Column(short_name(key), [setting_text(row.config.get(key)) for row in rows], spare=key != "method")
        for key in keys
    ]
    columns.append(Column("MACs G", [f"{row.cost.macs_g:.2f}" for row in rows]))
    for split, name in SPLIT_NAMES.items():
        if isfinite(rows[0].error[split].mean):
            columns.append(Column(f"{name} {header(error)}", [_text(row.error[split]) for row in rows]))
            columns.append(Column("change", ["-", *(_text(row.change[split], "+") for row in rows[1:])]))
    note = (
        f"Means of {len(documents)} searches and 95 % intervals by Student's t; change: from the first line, by pairs"
    )
    return "\n".join([*fitted(columns, width), note])


def _text(found: MeanOverSeeds, sign: str = "") -> str:
    half = f" +- {found.half:.1f}" if isfinite(found.half) else ""
    return f"{found.mean:{sign}.1f}{half}"


def _identity(trial: TrialRecord) -> str:
    """A text that is the same for equal configurations."""
    return json.dumps(trial.config, sort_keys=True)


def _cost(row: Sequence[TrialRecord]) -> Cost:
    # Equal configurations may cost unlike: what pruning leaves differs from seed to seed.
    return Cost(macs_g=fmean(t.cost.macs_g for t in row), params_m=fmean(t.cost.params_m for t in row))
