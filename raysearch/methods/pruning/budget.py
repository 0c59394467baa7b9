"""How much of an encoder may stay, and how integer unit counts are chosen that cost just that. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from raysearch.encoder.config import AnyConfig, ConvConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, Sizes, in_multiples, param_parts, parts, sized, sizes_of
from raysearch.encoder.document import read_config
from raysearch.errors import InputError
from raysearch.methods.pruning.settings import PruningSettings

TOLERANCE = 0.01
"""Furthest that a pruned encoder may be from its target, as a share of it."""
SHAPING = {
    "target",
    "macs_ratio",
    "size_ratio",
    "front_end_ratio",
    "transformer_ratio",
    "units",
    "multiple",
    "continue_from",
}
"""The settings of pruning that a student's shape depends on; the others are rates."""
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
    before: int
    """The student's before it is pruned: the teacher's, or less where an earlier trial is continued."""
    ratio: float
    """The share of the teacher's that stays."""
    multiple: int
    """Channels and FFN units are left in multiples of it, or all of a layer."""

    @property
    def target(self) -> float:
        return self.full * self.ratio

    def gap(self, sizes: Sizes) -> float:
        """Distance from the target, as a share of it."""
        return abs(float(self.measure(sizes)) / self.target - 1)


def start_config(settings: PruningSettings, teacher: EncoderConfig) -> EncoderConfig:
    """The student before it is pruned: the teacher, or the student of the trial that is continued.

    Raises: InputError if that trial has none, or one that was not cut from this teacher.
    """
    if settings.continue_from is None:
        return teacher
    config = read_config(student_folder(settings.continue_from) / "config.json")
    whole = sizes_of(teacher)
    if isinstance(config, ConvConfig) or config.depth != teacher.depth or sized(config, whole) != sized(teacher, whole):
        raise InputError(f"pruning.continue_from: {settings.continue_from}; expected a pruning trial of this teacher")
    return config


def student_folder(trial: str) -> Path:
    """Where a trial keeps its student."""
    return Path(trial) / "student"


def budgets(settings: PruningSettings, teacher: EncoderConfig, start: EncoderConfig) -> list[Budget]:
    """One budget, or with `separate-sizes` two, in the order in which they are to be met.

    Raises: InputError if `start` without its gated units costs more than the target already, or whole less.
    """
    units = frozenset(settings.units)

    def budget(key: str, measure: Callable[[Sizes], Any], chosen: frozenset[str]) -> Budget:
        before = measure(sizes_of(start))
        ratio = getattr(settings, key)
        found = Budget(key, chosen & units, measure, measure(sizes_of(teacher)), before, ratio, settings.multiple)
        _check(found, start)
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


def promised(settings: PruningSettings, teacher: AnyConfig) -> EncoderConfig:
    """Every layer's units scaled alike, to the targets: what a pruned student costs, known before it is pruned.

    Raises: InputError, as `budgets` and `check_met`.
    """
    if isinstance(teacher, ConvConfig):
        raise InputError("teacher.source: an encoder without a transformer; expected one whose units have gates")
    return _promised(settings.model_dump_json(include=SHAPING), teacher.model_dump_json())


@lru_cache(maxsize=10_000)
def _promised(asked: str, of: str) -> EncoderConfig:
    """A search asks the same of hundreds of candidates that differ in rates only; documents are what can be hashed."""
    settings, teacher = PruningSettings.model_validate_json(asked), EncoderConfig.model_validate_json(of)
    # Costs are asked for a hundred times, and each would write the blocks out anew.
    teacher = teacher.model_copy(update={"blocks": teacher.block_list})
    start = start_config(settings, teacher)
    full = sizes = sizes_of(start)
    for budget in budgets(settings, teacher, start):
        shrink = partial(_scaled_beside, sizes, budget, full)
        sizes = polish(budget, shrink(solve(budget, shrink, 0.0, 1.0)), full)
        check_met(budget, sizes)
    return sized(start, sizes)


def solve(budget: Budget, shrink: Callable[[float], Sizes], low: float, high: float) -> float:
    """The argument between `low` and `high` for which `shrink`, which grows with it, costs nearest to the target."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if budget.measure(shrink(middle)) <= budget.target else (low, middle)
    return min(low, high, key=lambda argument: budget.gap(shrink(argument)))


def polish(budget: Budget, sizes: Sizes, full: Sizes) -> Sizes:
    """Adds or drops units of one layer at a time as long as that comes nearer to the target.

    A convolution keeps a channel; a sub-layer that is empty stays empty.
    """
    while (gap := budget.gap(sizes)) > _NEAR:
        nearest = min(_neighbours(budget, sizes, full), key=budget.gap)
        if budget.gap(nearest) >= gap:
            break
        sizes = nearest
    return sizes


def check_met(budget: Budget, sizes: Sizes) -> None:
    """Raises: InputError if so many units are not within `TOLERANCE` of the target."""
    if budget.gap(sizes) > TOLERANCE:
        found = budget.measure(sizes) / budget.full
        raise InputError(
            f"pruning.{budget.name}: {budget.ratio}; expected a share that multiples of {budget.multiple} units can "
            f"meet to {TOLERANCE:.0%} (nearest is {found:.3f}): lower pruning.multiple"
        )


def combined(units: frozenset[str], chosen: Sizes, others: Sizes) -> Sizes:
    """The counts of `units` from the one, of the rest from the other."""
    pairs = zip(Sizes._fields, chosen, others, strict=True)
    return Sizes(*(mine if unit in units else theirs for unit, mine, theirs in pairs))


def _scaled(full: Sizes, share: float, multiple: int) -> Sizes:
    return Sizes(
        [in_multiples(share * count, count, multiple, least=1) for count in full.channels],
        [round(share * count) for count in full.heads],
        [in_multiples(share * count, count, multiple) for count in full.ffn],
    )


def _scaled_beside(others: Sizes, budget: Budget, full: Sizes, share: float) -> Sizes:
    return combined(budget.units, _scaled(full, share, budget.multiple), others)


def _neighbours(budget: Budget, sizes: Sizes, full: Sizes) -> list[Sizes]:
    """These counts, and all of another cost that differ by one step in one layer."""
    found = [sizes]
    for unit in sorted(budget.units & set(Sizes._fields)):
        counts, limits = getattr(sizes, unit), getattr(full, unit)
        step = 1 if unit == "heads" else budget.multiple
        seen: set[tuple[int, int]] = set()
        for layer, (count, limit) in enumerate(zip(counts, limits, strict=True)):
            # Blocks of as many units cost the same to change: the first stands for all that are alike.
            if unit != "channels" and (count, limit) in seen:
                continue
            seen.add((count, limit))
            fewer = -(-count // step) * step - step
            more = min(count // step * step + step, limit)
            changed = [fewer] if fewer >= (1 if unit == "channels" else 0) else []
            changed += [more] if 0 < count < limit else []
            found += [sizes._replace(**{unit: [*counts[:layer], other, *counts[layer + 1 :]]}) for other in changed]
    return found


def _check(budget: Budget, start: EncoderConfig) -> None:
    full = sizes_of(start)
    least = budget.measure(combined(budget.units, _scaled(full, 0.0, 1), full))
    if least > budget.target:
        raise InputError(
            f"pruning.{budget.name}: {budget.ratio}; expected at least {least / budget.full:.3f}, "
            f"which the teacher's ungated parts cost"
        )
    if budget.before < budget.target:
        raise InputError(
            f"pruning.{budget.name}: {budget.ratio}; expected at most {budget.before / budget.full:.3f}, "
            f"which pruning.continue_from has left"
        )
