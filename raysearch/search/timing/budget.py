"""The budget of a search: what it may spend, what it has spent, and how many seconds that leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from raysearch.spec.budget import UNITS, BudgetSettings, Held
from raysearch.training.monitoring.progress import duration


class Budget:
    """A budget while a driver spends it. What the lanes hold is paid for, whether they work or wait."""

    def __init__(
        self,
        settings: BudgetSettings,
        held: Held,
        *,
        before: Mapping[str, float],
        began_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`before`: what earlier drivers spent, by unit. `began_s`: when this one began, on the clock."""
        self.settings = settings
        self._clock = clock
        # One value: it is read in another thread than that which hears of lanes.
        self._since = (began_s, dict(before), held)

    def hold(self, held: Held) -> None:
        """From now on so much is held."""
        self._since = (self._clock(), self.spent(), held)

    def spent(self) -> dict[str, float]:
        """What was spent so far, in every unit."""
        since_s, before, held = self._since
        hours = max(0.0, self._clock() - since_s) / 3600
        return {unit: before.get(unit, 0.0) + hours * held.rate(unit) for unit in UNITS}

    @property
    def left_s(self) -> float:
        """Seconds until all is spent, at least 0."""
        left = self.settings.amount / self.settings.price - self.spent()[self.settings.unit]
        return max(0.0, 3600 * left / self._since[2].rate(self.settings.unit))

    def __str__(self) -> str:
        """What is left, and the time that this is."""
        if self.settings.key == "hours":
            return f"{duration(self.left_s)} left"
        left = self.settings.amount - in_its_unit(self.settings, self.spent())
        return f"{max(0.0, left):.3g} {self.settings.word} left, which are {duration(self.left_s)}"


def in_its_unit(settings: BudgetSettings, spent: Mapping[str, float]) -> float:
    """What was spent, in the unit that the budget is given in."""
    return settings.price * spent.get(settings.unit, 0.0)
