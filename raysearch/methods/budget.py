"""How much of an encoder may stay, and how integer unit counts are chosen that cost just that. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from raysearch.encoder.config import AnyConfig, ConvConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, Sizes, param_parts, parts, sizes_of
from raysearch.errors import InputError
from raysearch.methods.settings import PruningSettings

_NEAR = 5e-4
_HALVINGS = 40


@dataclass(frozen=True)
class Budget:
    """What the encoder, or a part of it, may cost."""

    name: str
    units: frozenset[str]
    """The kinds of units that are chosen to meet it: `channels`, `heads`, `ffn`."""
    measure: Callable[[Sizes], Any]
    """Cost of so many units: of integers, or differentiably of tensors."""
    full: int
    """The teacher's."""
    ratio: float
    """The share that stays."""

    @property
    def target(self) -> float:
        return self.full * self.ratio

    def gap(self, sizes: Sizes) -> float:
        """Distance from the target, as a share of it."""
        return abs(float(self.measure(sizes)) / self.target - 1)


def budgets(settings: PruningSettings, teacher: EncoderConfig) -> list[Budget]:
    """One budget, or with `separate-sizes` two, in the order in which they are to be met.

    Raises: InputError if the ungated rest of the teacher costs more than the target already.
    """
    units = frozenset(settings.units)

    def budget(key: str, measure: Callable[[Sizes], Any], chosen: frozenset[str]) -> Budget:
        found = Budget(key, chosen & units, measure, measure(sizes_of(teacher)), getattr(settings, key))
        _check(found, settings, teacher)
        return found

    if settings.target == "macs":
        return [budget("macs_ratio", lambda sizes: sum(parts(teacher, SUPERB_SAMPLES, sizes).values()), units)]
    if settings.target == "size":
        return [budget("size_ratio", lambda sizes: sum(param_parts(teacher, sizes).values()), units)]

    def transformer(sizes: Sizes) -> Any:
        return sum(cost for part, cost in param_parts(teacher, sizes).items() if part != "front_end")

    return [
        budget("front_end_ratio", lambda sizes: param_parts(teacher, sizes)["front_end"], frozenset({"channels"})),
        budget("transformer_ratio", transformer, frozenset({"heads", "ffn"})),
    ]


def scaled(settings: PruningSettings, teacher: AnyConfig) -> Sizes:
    """Every layer's units scaled alike, to the targets: what a pruned encoder costs, known before it is pruned.

    Raises: InputError, as `budgets`.
    """
    if isinstance(teacher, ConvConfig):
        raise InputError("teacher.source: an encoder without a transformer; expected one whose units have gates")
    full = sizes = sizes_of(teacher)
    for budget in budgets(settings, teacher):
        shrink = partial(_scaled_beside, sizes, budget.units, full)
        sizes = polish(budget, shrink(solve(budget, shrink, 0.0, 1.0)), full)
    return sizes


def solve(budget: Budget, shrink: Callable[[float], Sizes], low: float, high: float) -> float:
    """The argument between `low` and `high` for which `shrink`, which grows with it, costs nearest to the target."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if budget.measure(shrink(middle)) <= budget.target else (low, middle)
    return min(low, high, key=lambda argument: budget.gap(shrink(argument)))


def polish(budget: Budget, sizes: Sizes, full: Sizes) -> Sizes:
    """Adds or drops one unit of one layer at a time as long as that comes nearer to the target.

    A convolution keeps a channel; a sub-layer that is empty stays empty.
    """
    while (gap := budget.gap(sizes)) > _NEAR:
        nearest = min(_neighbours(sizes, full, budget.units), key=budget.gap)
        if budget.gap(nearest) >= gap:
            break
        sizes = nearest
    return sizes


def combined(units: frozenset[str], chosen: Sizes, others: Sizes) -> Sizes:
    """The counts of `units` from the one, of the rest from the other."""
    pairs = zip(Sizes._fields, chosen, others, strict=True)
    return Sizes(*(mine if unit in units else theirs for unit, mine, theirs in pairs))


def _scaled(full: Sizes, share: float) -> Sizes:
    channels, heads, ffn = ([round(share * count) for count in counts] for counts in full)
    return Sizes([max(1, count) for count in channels], heads, ffn)


def _scaled_beside(others: Sizes, units: frozenset[str], full: Sizes, share: float) -> Sizes:
    return combined(units, _scaled(full, share), others)


def _neighbours(sizes: Sizes, full: Sizes, units: frozenset[str]) -> list[Sizes]:
    """These counts, and all that differ by one unit in one layer."""
    found = [sizes]
    for unit in sorted(units & set(Sizes._fields)):
        counts, limits = getattr(sizes, unit), getattr(full, unit)
        for layer, (count, limit) in enumerate(zip(counts, limits, strict=True)):
            fewer = [count - 1] if count > (1 if unit == "channels" else 0) else []
            more = [count + 1] if 0 < count < limit else []
            found += [
                sizes._replace(**{unit: [*counts[:layer], changed, *counts[layer + 1 :]]}) for changed in fewer + more
            ]
    return found


def _check(budget: Budget, settings: PruningSettings, teacher: EncoderConfig) -> None:
    full = sizes_of(teacher)
    least = budget.measure(combined(budget.units, _scaled(full, 0.0), full))
    if least > budget.target:
        raise InputError(
            f"pruning.{budget.name}: {budget.ratio}; expected at least {least / budget.full:.3f}, "
            f"which the teacher's ungated parts cost"
        )
