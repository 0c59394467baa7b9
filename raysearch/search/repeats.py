"""Runs members of the front again under other seeds, and takes their means.

A repeat is a trial that has the settings of another one and a seed of its own. It is no member of the front: the trial
that it repeats stands there, with the mean of its errors and an interval that holds what both cuts and seeds do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, isfinite, nan
from statistics import fmean, stdev

from raysearch.front.front import Front
from raysearch.front.seeds.means import SPLIT_NAMES, MeanOverSeeds
from raysearch.front.trials import TrialRecord


def over_seeds(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials, each that was repeated with the means of its errors over the seeds.

    `eval/per_seeds` and `eval/per_spread` are then the number of seeds and the standard deviation over them.
    """
    runs: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.repeats is not None and record.state == "complete":
            runs.setdefault(record.repeats, []).append(record)
    return [_mean([one, *runs[one.number]]) if one.number in runs else one for one in records]


def next_repeat(records: Sequence[TrialRecord], objectives: Sequence[str], seeds: int) -> TrialRecord | None:
    """The member of the front that is to run again: of those with fewer than `seeds` runs one with the fewest.

    Runs that go on, or have failed, count. None if there is nothing to repeat.
    """
    runs: dict[int, int] = {}
    for record in records:
        if record.repeats is not None:
            runs[record.repeats] = runs.get(record.repeats, 0) + 1
    members = Front.of(over_seeds(records), objectives).members
    few = [member for member in members if 1 + runs.get(member.number, 0) < seeds]
    return min(few, key=lambda member: runs.get(member.number, 0), default=None)


def repeats_left(records: Sequence[TrialRecord], objectives: Sequence[str], seeds: int) -> list[TrialRecord]:
    """The members of the front, each as often as it is still to run again."""
    members = Front.of(over_seeds(records), objectives).members
    done = [record.repeats for record in records if record.repeats is not None]
    return [member for member in members for _ in range(seeds - 1 - done.count(member.number))]


def _mean(runs: list[TrialRecord]) -> TrialRecord:
    first = runs[0]
    metrics = dict(first.metrics)
    for key in first.metrics:
        split, _, error = key.partition("/")
        values = [run.metrics.get(key, nan) for run in runs]
        if split not in SPLIT_NAMES or error.endswith(("_low", "_high")) or not all(map(isfinite, values)):
            continue
        found = MeanOverSeeds.of(values)
        metrics |= {key: found.mean, f"{key}_seeds": float(len(runs)), f"{key}_spread": stdev(values)}
        for end, sign in (("low", -1), ("high", 1)):
            reach = [abs(run.metrics.get(f"{key}_{end}", nan) - run.metrics[key]) for run in runs]
            if all(map(isfinite, reach)):
                # The cuts are the same in all runs, so that more seeds make what they do no smaller.
                metrics[f"{key}_{end}"] = max(0.0, found.mean + sign * hypot(fmean(reach), found.half))
    return first.model_copy(update={"metrics": metrics})
