"""How sure a claim about two configurations is after some seeds, and how many seeds would tell a difference.

A claim such as `oskdft < ft-only` says that the first configuration has the lower error. It is judged on searches that
ran both and differ in their seed: of every search the difference is taken, so that what a seed does to both cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan, sqrt
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

from scipy.stats import chi2, nct
from scipy.stats import t as student_t

from raysearch.errors import InputError, quoted
from raysearch.front.document import SearchDocument
from raysearch.front.objective import axes, header, value
from raysearch.front.seeds.means import LEVEL, SPLIT_NAMES, MeanOverSeeds
from raysearch.front.table import Column, plain, setting_text, varying_settings
from raysearch.front.trials import Measured, TrialRecord
from raysearch.settings import Outcome

CHANCE = 0.8
"""Chance with which a number of seeds is to tell a difference that is really there."""
MOST_SEEDS = 1000
"""Seeds beyond which a difference is said to be out of reach."""
EXPECTED = "expected two sides such as `oskdft < ft-only` or `macs_ratio=0.5,units=heads+ffn < macs_ratio=1.0`"

Verdict = Literal["held", "did not hold", "cannot be told"]


class Spread(Outcome):
    """Errors of one configuration, one for each seed, in percent."""

    values: list[Measured]
    """The error of each search, in the order of the searches."""
    mean: Measured
    """Mean of the errors."""
    deviation: Measured
    """Standard deviation of the errors."""


class ToldOnSplit(Outcome):
    """What one split tells of a claim. Errors and differences are in percentage points."""

    one: Spread
    """The side that is claimed to have the lower error."""
    other: Spread
    """The other side."""
    difference: MeanOverSeeds
    """Error of the first side minus that of the other, in each search."""
    deviation: Measured
    """Standard deviation of the differences."""
    verdict: Verdict
    """`held` if the 95 % interval of the mean difference lies below 0, `did not hold` if it lies above."""
    asked: Measured
    """The difference that is to be told: the one that was asked for, or else the size of the mean difference."""
    seeds: int | None
    """Seeds with which a true difference of that size is told in four of five cases. None if they are over 1,000."""
    hours: Measured
    """Hours of one worker that so many seeds of both sides take, those included that were run. NaN if not known."""


class Claim(Outcome):
    """A claim, and what was found of it."""

    claim: str
    """The claim as it was made."""
    metric: str
    """The error that it is about."""
    searches: list[str]
    """Names of the searches that it is judged on."""
    seed_s: Measured
    """Seconds in which one worker trains both sides once. NaN if not known."""
    splits: dict[str, ToldOnSplit]
    """What each split tells, `dev` and `test`."""

    def table(self) -> str:
        """What was found, as a table to read, and what it would take to tell more."""
        one, other = (side.text for side in sides(self.claim))
        count, found = len(self.searches), list(self.splits.values())
        columns = [
            Column("", list(self.splits), left=True),
            Column(one, [f"{each.one.mean:.1f}" for each in found]),
            Column("spread", [f"{each.one.deviation:.2f}" for each in found]),
            Column(other, [f"{each.other.mean:.1f}" for each in found]),
            Column("spread", [f"{each.other.deviation:.2f}" for each in found]),
            Column("difference", [f"{each.difference.mean:+.1f} +- {each.difference.half:.1f}" for each in found]),
            Column("spread", [f"{each.deviation:.2f}" for each in found]),
            Column("claim", [each.verdict for each in found], left=True),
        ]
        # The square of a spread is distributed as chi-square: a few seeds say little of it.
        factor = sqrt((count - 1) / chi2.ppf((1 - LEVEL) / 2, count - 1))
        return "\n".join(
            [
                f"{header(self.metric)} over {count} seeds: means, standard deviations, and the difference by pairs",
                *plain(columns),
                *(self._needed(split, each) for split, each in self.splits.items()),
                f"Told with a chance of {100 * CHANCE:.0f} %, if the difference is there and the spread is as found.",
                f"A spread that is found from {count} seeds may be up to {factor:.1f} times too small.",
            ]
        )

    def _needed(self, split: str, found: ToldOnSplit) -> str:
        what = f"{split}: a difference of {found.asked:.2g} points is told"
        if found.seeds is None:
            return f"{what} by no number of seeds up to {MOST_SEEDS:,}"
        more = max(0, found.seeds - len(self.searches))
        hours = f", {found.hours:.1f} h of one worker" if isfinite(found.hours) else ""
        return f"{what} by {found.seeds} seeds ({more} more{hours} in all)"


def judge_claim(claim: str, documents: Sequence[SearchDocument], difference: float | None = None) -> Claim:
    """The claim as these searches, which differ in their seed, tell it.

    `difference` is a size in percentage points that is to be told; by default it is what was found.
    Raises: InputError if the claim is none, there are fewer than two searches, or one of them does not have exactly one
    complete trial of each side.
    """
    one, other = sides(claim)
    if len(documents) < 2:
        raise InputError(f"{documents[0].name}: one search; expected at least two, which differ in their seed")
    _, metric = axes(documents[0].objectives)
    pairs = [(one.trial(document), other.trial(document)) for document in documents]
    seed_s = fmean(sum(trial.metrics.get("cost/seconds", nan) for trial in pair) for pair in pairs)
    splits = {
        name: _told(
            [value(trial, metric, split) for trial, _ in pairs],
            [value(trial, metric, split) for _, trial in pairs],
            difference,
            seed_s,
        )
        for split, name in SPLIT_NAMES.items()
        if all(isfinite(value(trial, metric, split)) for pair in pairs for trial in pair)
    }
    if not splits:
        raise InputError(f"{claim}: {metric} was not measured in all of these trials; expected trials that were judged")
    return Claim(
        claim=claim, metric=metric, searches=[document.name for document in documents], seed_s=seed_s, splits=splits
    )


def seeds_to_tell(difference: float, deviation: float) -> int | None:
    """Seeds with which the 95 % interval leaves out 0 in four of five cases, if the true difference is of this size.

    `deviation` is the standard deviation of the difference over seeds. None if they are over 1,000.
    Source: the power of the paired t test (Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988).
    """
    if deviation == 0:
        return 2 if difference else None
    for seeds in range(2, MOST_SEEDS + 1):
        limit = student_t.ppf((1 + LEVEL) / 2, seeds - 1)
        if nct.sf(limit, seeds - 1, sqrt(seeds) * abs(difference) / deviation) >= CHANCE:
            return seeds
    return None


class Side(NamedTuple):
    """One side of a claim: settings that a trial must have."""

    text: str
    settings: dict[str, str]

    def trial(self, document: SearchDocument) -> TrialRecord:
        """The search's one complete trial with these settings. Raises: InputError if there are none or several."""
        found = [one for one in document.trials if one.state == "complete" and self._fits(one.config)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(varying_settings(found)) or "nothing that differs"
            raise InputError(f"{document.name}: {self.text}: {len(found)} trials; expected one: add to it {names}")
        methods = ", ".join(sorted({one.method for one in document.trials if one.state == "complete"}))
        known = f"a method ({methods}) or settings of one" if methods else "a search that has some"
        raise InputError(f"{document.name}: {self.text}: no complete trial; expected {known}")

    def _fits(self, config: dict[str, Any]) -> bool:
        return all(_has(config, name, wanted) for name, wanted in self.settings.items())


def sides(claim: str) -> tuple[Side, Side]:
    """The two sides of a claim. Raises: InputError if there are not two."""
    texts = [" ".join(text.split()) for text in claim.split("<")]
    if len(texts) != 2 or not all(texts):
        raise InputError(f"{quoted(claim)}; {EXPECTED}")
    one, other = (Side(text, dict(_setting(part, claim) for part in text.split(","))) for text in texts)
    return one, other


def _setting(part: str, claim: str) -> tuple[str, str]:
    name, equals, wanted = (word.strip() for word in part.partition("="))
    if not name or (equals and not wanted):
        raise InputError(f"{quoted(claim)}: {quoted(part)}; {EXPECTED}")
    return (name, wanted) if equals else ("method", name)


def _has(config: dict[str, Any], name: str, wanted: str) -> bool:
    """Whether a configuration has a setting, which may be called by the last part of its key as in tables."""
    return any(
        wanted in (str(got), setting_text(got)) for key, got in config.items() if name in (key, key.rpartition(".")[2])
    )


def _told(one: list[float], other: list[float], difference: float | None, seed_s: float) -> ToldOnSplit:
    differences = [mine - theirs for mine, theirs in zip(one, other, strict=True)]
    found, deviation = MeanOverSeeds.of(differences), stdev(differences)
    asked = abs(found.mean) if difference is None else difference
    seeds = seeds_to_tell(asked, deviation)
    verdict: Verdict = "cannot be told"
    if abs(found.mean) > found.half:
        verdict = "held" if found.mean < 0 else "did not hold"
    return ToldOnSplit(
        one=_spread(one),
        other=_spread(other),
        difference=found,
        deviation=deviation,
        verdict=verdict,
        asked=asked,
        seeds=seeds,
        hours=nan if seeds is None else seeds * seed_s / 3600,
    )


def _spread(values: list[float]) -> Spread:
    return Spread(values=values, mean=fmean(values), deviation=stdev(values))
