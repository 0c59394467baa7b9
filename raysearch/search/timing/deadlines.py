"""What time allows: which trials may begin, and how long each may take, by the budget, the timeout and the forecast."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property

import numpy as np

from raysearch.errors import InputError, counted
from raysearch.search.timing.budget import Budget
from raysearch.search.timing.foresight import Foresight
from raysearch.spec.document import Spec
from raysearch.spec.space import Config
from raysearch.training.monitoring.progress import duration

LATE = "would end after the budget is spent"
"""How the refusal of a trial begins that is not expected to end within the budget."""
LOOKED_AT = 64
"""Configurations by which the lengths of trials are known."""
MARGIN = 2.0
"""No trial is taken to last longer than so many times the longest of those."""
START_S = 20.0
"""Seconds in which lanes start, before their first trial. No trial is charged for them, but a budget is."""
LEAST_TIMEOUT_S = 60.0
"""Least seconds that a trial may take where its limit is a multiple of its forecast."""


class Deadlines:
    """The deadlines of one search. Without a budget and a timeout there are none."""

    def __init__(self, spec: Spec, budget: Budget | None, foresight: Foresight) -> None:
        self._spec = spec
        self.budget = budget
        self.foresight = foresight
        self._timeout = spec.search.timeout

    def __bool__(self) -> bool:
        return self.budget is not None or self._timeout is not None

    def promise(self) -> str:
        """What the budget is expected to pay for, in words. Empty without a budget.

        Raises: InputError if it does not pay for a single trial.
        """
        if self.budget is None:
            return ""
        left_s, lanes = self.budget.left_s, self._spec.workers.fewest_lanes
        line = f"budget: {self.budget}, on {counted(lanes, 'lane')}"
        if self.foresight.factor is None:
            return f"{line}; the first trials will tell how many it pays for"
        each = sorted(self.foresight.factor * seconds for seconds in self._lengths)
        if each[0] > left_s:
            key = f"search.budget.{self.budget.settings.key}: {self.budget}"
            raise InputError(f"{key}; expected more: the shortest trial takes {duration(each[0])}")
        # Few if trials are as long as those drawn, many if short ones are preferred by as much as they are shorter.
        few, many = (
            lanes * max(1, int((left_s - START_S) / float(mean_s)))
            for mean_s in (np.mean(each), 1 / np.mean([1 / seconds for seconds in each]))
        )
        return f"{line}: about {few:,} to {many:,} trials of {duration(each[0])} to {duration(each[-1])}"

    def no_more(self) -> str:
        """Why not even a short trial may begin: the budget does not last for it. Empty if one may."""
        if self.budget is None:
            return ""
        if self.budget.left_s == 0:
            return "the budget is spent"
        shortest_s = min(self._lengths, default=0.0) * (self.foresight.factor or 0.0)
        return "no other trial would end within the budget" if shortest_s > self.budget.left_s else ""

    def refusal(self, config: Config) -> str:
        """Why a trial may not begin. Empty if it may."""
        if not self:
            return ""
        most_s = (self._timeout and self._timeout.seconds) or math.inf
        left_s = self.budget.left_s if self.budget else math.inf
        # Hundreds of configurations are asked about, and to plan one takes milliseconds.
        longest_s = MARGIN * max(self._lengths, default=math.inf) * (self.foresight.factor or 0.0)
        if longest_s < min(most_s, left_s):
            return ""
        expected_s = self.foresight.seconds(config)
        if expected_s is not None and expected_s > most_s:
            return f"would take {duration(expected_s)}; at most {duration(most_s)}"
        return self.late(config)

    def late(self, config: Config, spent_s: float = 0.0) -> str:
        """Why a trial that has had some seconds already would not end within the budget. Empty if it would."""
        if self.budget is not None and self.budget.left_s == 0:
            return LATE
        if self.budget is None or (expected_s := self.foresight.seconds(config)) is None:
            return ""
        if expected_s - spent_s <= self.budget.left_s:
            return ""
        return f"{LATE}: {duration(expected_s - spent_s)}; {duration(self.budget.left_s)} are left"

    def limit_s(self, config: Config, spent_s: float) -> float | None:
        """Seconds that a trial may take in all, those included that it has had already. None if there is no limit."""
        limits_s = [self.budget.left_s + spent_s] if self.budget else []
        if self._timeout and self._timeout.seconds:
            limits_s.append(self._timeout.seconds)
        elif self._timeout and self._timeout.times and (expected_s := self.foresight.seconds(config)) is not None:
            # No forecast knows how long a lane takes to start, or a label set to be built.
            limits_s.append(max(self._timeout.times * expected_s, LEAST_TIMEOUT_S))
        return min(limits_s, default=None)

    @cached_property
    def _lengths(self) -> list[float]:
        """Planned seconds of the trials of some configurations that are drawn."""
        rng, lengths = np.random.default_rng(self._spec.search.seed), []
        for config in (self._spec.search_space.draw(rng) for _ in range(LOOKED_AT)):
            with suppress(InputError):  # it has no student
                lengths.append(self.foresight.planned(config))
        return lengths
