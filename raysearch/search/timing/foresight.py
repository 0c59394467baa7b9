"""How long trials are expected to take: the plan's own forecast, corrected by the trials that were seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from raysearch.front.trials import TrialRecord
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

NEWEST = 32
"""Trials that the forecast is corrected by, at most."""
CAUTION = 0.9
"""Share of the trials seen that a corrected forecast would have been long enough for."""
Planned = Callable[[Config], float]
"""Seconds of a whole trial, as planned before anything ran. It raises InputError of what has no student."""


class Foresight:
    """Forecasts of one search."""

    def __init__(self, spec: Spec, planned: Planned, *, trusted: bool) -> None:
        """`trusted` says whether the plan holds before a trial was seen. One that is in no seconds, but only says how
        trials compare, does not.
        """
        self._spec = spec
        self.planned = planned
        self._ratios: dict[int, float] = {}
        self.factor: float | None = 1.0 if trusted else None
        """By how much the plan's seconds are to be multiplied. None while nothing is known."""

    def learn(self, trials: Sequence[tuple[TrialRecord, dict[int, dict[str, float]]]]) -> None:
        """Takes in how long trials took, by the share of their budget that they have done."""
        for record, rungs in trials:
            if record.trained_by is not None:
                continue  # it was only judged, which tells nothing about training
            if rungs and record.state in ("complete", "stopped") and record.number not in self._ratios:
                updates, metrics = max(rungs.items())
                planned_s = self._spec.share(record.method, updates) * self.planned(dict(record.config))
                if planned_s > 0 and (seconds := metrics.get("cost/seconds", 0.0)) > 0:
                    self._ratios[record.number] = seconds / planned_s
        # The first trial of a lane also loads the corpus and the teacher, and may build a label set for others.
        later = [ratio for _, ratio in sorted(self._ratios.items())][self._spec.workers.fewest_lanes :]
        seen = (later or list(self._ratios.values()))[-NEWEST:]
        if seen:
            self.factor = float(np.quantile(seen, CAUTION))

    def seconds(self, config: Config) -> float | None:
        """Seconds that a whole trial is expected to take, on the cautious side. None while nothing is known."""
        return None if self.factor is None else self.factor * self.planned(config)
