"""The budget of a search document: hours, hours of CPUs or GPUs, or money."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from raysearch.settings import Settings

ENDLESS = 1_000_000
"""Number of trials asked of a search that is to end by its budget instead."""
Unit = Literal["hours", "cpu_hours", "gpu_hours"]
UNITS: tuple[Unit, ...] = ("hours", "cpu_hours", "gpu_hours")
"""What can be spent. Money is spent on one of them."""
WORDS = {"hours": "h", "cpu_hours": "CPU-hours", "gpu_hours": "GPU-hours", "money": "of money"}
EACH = {"hours": "an hour", "cpu_hours": "a CPU-hour", "gpu_hours": "a GPU-hour", "money": "for one of money"}


class Held(NamedTuple):
    """What the lanes of a search hold, whether they work or wait."""

    cpus: int
    gpus: int

    def rate(self, unit: Unit) -> float:
        """How many units an hour takes."""
        return {"hours": 1, "cpu_hours": self.cpus, "gpu_hours": self.gpus}[unit]


class BudgetSettings(Settings):
    """What a search may spend in all. Exactly one of `hours`, `cpu_hours`, `gpu_hours` and `money` is given.

    What lanes hold is paid for from the start of the driver to its end, the training of a teacher included, and whether
    it works or waits. Where lanes come and go, it is what there is room for at each time. The time between an
    interruption and `raysearch resume` costs nothing.
    """

    hours: float | None = Field(None, gt=0, le=1e6)
    """Hours that the search may take."""
    cpu_hours: float | None = Field(None, gt=0, le=1e9)
    """Hours, times the CPUs that its lanes hold: `workers.lanes` x `num_workers` x `cpus`."""
    gpu_hours: float | None = Field(None, gt=0, le=1e9)
    """Hours, times the GPUs that its lanes hold: `workers.lanes` x `num_workers`."""
    money: float | None = Field(None, gt=0, le=1e12)
    """Money, in the currency of the price that stands beside it: `per_hour`, `per_cpu_hour` or `per_gpu_hour`."""
    per_hour: float | None = Field(None, gt=0, le=1e9)
    """Price of an hour of all that is held together."""
    per_cpu_hour: float | None = Field(None, gt=0, le=1e9)
    """Price of an hour of one CPU."""
    per_gpu_hour: float | None = Field(None, gt=0, le=1e9)
    """Price of an hour of one GPU."""

    @model_validator(mode="after")
    def _one_of_each(self) -> BudgetSettings:
        named = [key for key in (*UNITS, "money") if getattr(self, key) is not None]
        if len(named) != 1:
            found = " and ".join(named) or "none"
            raise ValueError(f"{found}; expected exactly one of {', '.join(UNITS)}, money")
        prices = [unit for unit in UNITS if self._price(unit) is not None]
        if len(prices) != (self.money is not None):
            wanted = "one of per_hour, per_cpu_hour, per_gpu_hour" if self.money else "no price without money"
            raise ValueError(f"{len(prices)} prices; expected {wanted}")
        return self

    def _price(self, unit: Unit) -> float | None:
        price: float | None = getattr(self, f"per_{unit.removesuffix('s')}")
        return price

    @property
    def key(self) -> str:
        """The key that says how much may be spent."""
        return next(key for key in (*UNITS, "money") if getattr(self, key) is not None)

    @property
    def amount(self) -> float:
        """How much may be spent, in what `key` names."""
        return float(getattr(self, self.key))

    @property
    def word(self) -> str:
        """What is spent, in words."""
        return WORDS[self.key]

    @property
    def unit(self) -> Unit:
        """What is counted: money is spent on it."""
        return next(unit for unit in UNITS if self._price(unit) is not None or getattr(self, unit) is not None)

    @property
    def price(self) -> float:
        """What one unit costs, in what `key` names."""
        return self._price(self.unit) or 1.0

    def hours_of(self, held: Held) -> float:
        """Hours in which all of it is spent on what is held. Infinite if nothing of it is."""
        rate = held.rate(self.unit)
        return self.amount / self.price / rate if rate else float("inf")
