"""How much of an encoder may stay, and how whole numbers of units are chosen that cost just that.

A unit is a channel of a convolution, an attention head or a hidden unit of a feed-forward network (FFN). This file does
not import torch.
"""

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
from raysearch.methods.settings import with_blocks, with_own_maps

TOLERANCE = 0.01
"""The furthest that a pruned encoder may be from its target, as a share of the target."""
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
"""Names of the pruning settings that a student's shape depends on. The others only say how it is trained."""
# A gap below this share of the target is near enough, and no layer is changed any more.
_NEAR = 5e-4
# So many halvings narrow the widest interval that is searched here to less than 1e-10.
_HALVINGS = 40


@dataclass(frozen=True)
class Budget:
    """What the encoder, or a part of it, may cost: MACs or parameters."""

    name: str
    """Name of the setting that says the ratio, such as `macs_ratio`."""
    units: frozenset[str]
    """The kinds of units that are chosen to meet the budget, of `channels`, `heads` and `ffn`."""
    measure: Callable[[Sizes], Any]
    """Function that gives the cost of so many units. Numbers of units may be integers, or tensors with gradients."""
    full: int
    """Cost of the teacher."""
    before: int
    """Cost of the student before it is pruned. It is the teacher's, or less where an earlier trial is continued."""
    ratio: float
    """Share of the teacher's cost that stays."""
    multiple: int
    """Number of which the channels and FFN units left in a layer are a multiple, unless all of them are left."""
    free_convs: int
    """Number of convolutions, the first ones, that may lose channels."""

    @property
    def target(self) -> float:
        """The cost to be met."""
        return self.full * self.ratio

    def gap(self, sizes: Sizes) -> float:
        """The distance of the cost of so many units from the target, as a share of the target."""
        return abs(float(self.measure(sizes)) / self.target - 1)


def start_config(settings: PruningSettings, teacher: EncoderConfig) -> EncoderConfig:
    """The architecture before pruning: the teacher's, or that of the student whose trial is continued.

    Raises: InputError if that trial has no student, or one that was not cut from this teacher.
    """
    if settings.continue_from is None:
        return teacher
    config = read_config(student_folder(settings.continue_from) / "config.json")
    whole = sizes_of(teacher)
    if isinstance(config, ConvConfig) or config.depth != teacher.depth or sized(config, whole) != sized(teacher, whole):
        raise InputError(f"pruning.continue_from: {settings.continue_from}; expected a pruning trial of this teacher")
    return config


def student_folder(trial: str) -> Path:
    """The folder in which a trial keeps its student."""
    return Path(trial) / "student"


def budgets(settings: PruningSettings, teacher: EncoderConfig, start: EncoderConfig) -> list[Budget]:
    """One budget, or with `separate-sizes` two, in the order in which they are to be met.

    Raises: InputError if `start` costs more than the target even without its gated units, or less with all of them.
    """
    units = frozenset(settings.units)

    def budget(key: str, measure: Callable[[Sizes], Any], chosen: frozenset[str]) -> Budget:
        before = measure(sizes_of(start))
        ratio = getattr(settings, key)
        whole, multiple, free_convs = measure(sizes_of(teacher)), settings.multiple, start.free_convs
        found = Budget(key, chosen & units, measure, whole, before, ratio, multiple, free_convs)
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
    """An encoder that costs what the pruned student will cost, so that the cost is known before anything is trained.

    The units of every layer are scaled alike to the targets. Which units the student really keeps is learned.

    Raises: InputError where `budgets` or `check_met` do, or if the teacher has no transformer, or blocks that reuse
        attention maps.
    """
    whole = with_own_maps(with_blocks(teacher))
    return _promised(settings.model_dump_json(include=SHAPING), whole.model_dump_json())


@lru_cache(maxsize=10_000)
def _promised(asked: str, of: str) -> EncoderConfig:
    """The same as `promised`, from the JSON of settings and teacher, so that answers are kept.

    A search asks this of hundreds of configurations, many of which differ only in how they are trained.
    """
    settings, teacher = PruningSettings.model_validate_json(asked), EncoderConfig.model_validate_json(of)
    # The cost is computed a hundred times below, and each time the list of blocks would be made anew.
    teacher = teacher.model_copy(update={"blocks": teacher.block_list})
    start = start_config(settings, teacher)
    full = sizes = sizes_of(start)
    for budget in budgets(settings, teacher, start):
        shrink = partial(_scaled_beside, sizes, budget, full)
        sizes = polish(budget, shrink(solve(budget, shrink, 0.0, 1.0)), full)
        check_met(budget, sizes)
    return sized(start, sizes)


def solve(budget: Budget, shrink: Callable[[float], Sizes], low: float, high: float) -> float:
    """The argument between `low` and `high` at which the sizes that `shrink` gives cost nearest to the target.

    The sizes must grow with the argument.
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if budget.measure(shrink(middle)) <= budget.target else (low, middle)
    return min(low, high, key=lambda argument: budget.gap(shrink(argument)))


def polish(budget: Budget, sizes: Sizes, full: Sizes) -> Sizes:
    """Adds or drops units of one layer at a time, as long as the cost comes nearer to the target.

    A convolution keeps at least one channel. A sub-layer that is empty stays empty.
    """
    while (gap := budget.gap(sizes)) > _NEAR:
        nearest = min(_neighbours(budget, sizes, full), key=budget.gap)
        if budget.gap(nearest) >= gap:
            break
        sizes = nearest
    return sizes


def check_met(budget: Budget, sizes: Sizes) -> None:
    """Refuses numbers of units that miss the target.

    Raises: InputError if their cost is not within `TOLERANCE` of the target.
    """
    if budget.gap(sizes) > TOLERANCE:
        found = budget.measure(sizes) / budget.full
        raise InputError(
            f"pruning.{budget.name}: {budget.ratio}; expected a share that multiples of {budget.multiple} units can "
            f"meet to {TOLERANCE:.0%} (nearest is {found:.3f}): lower pruning.multiple"
        )


def combined(units: frozenset[str], chosen: Sizes, others: Sizes) -> Sizes:
    """Numbers of units: those of the kinds in `units` from `chosen`, and the rest from `others`."""
    pairs = zip(Sizes._fields, chosen, others, strict=True)
    return Sizes(*(mine if unit in units else theirs for unit, mine, theirs in pairs))


def _scaled(full: Sizes, share: float, multiple: int, free_convs: int) -> Sizes:
    free, whole = full.channels[:free_convs], full.channels[free_convs:]
    return Sizes(
        [*(in_multiples(share * count, count, multiple, least=1) for count in free), *whole],
        [round(share * count) for count in full.heads],
        [in_multiples(share * count, count, multiple) for count in full.ffn],
    )


def _scaled_beside(others: Sizes, budget: Budget, full: Sizes, share: float) -> Sizes:
    return combined(budget.units, _scaled(full, share, budget.multiple, budget.free_convs), others)


def _neighbours(budget: Budget, sizes: Sizes, full: Sizes) -> list[Sizes]:
    """These numbers of units, and all that differ from them by one step in one layer."""
    found = [sizes]
    for unit in sorted(budget.units & set(Sizes._fields)):
        counts, limits = getattr(sizes, unit), getattr(full, unit)
        step = 1 if unit == "heads" else budget.multiple
        seen: set[tuple[int, int]] = set()
        for layer, (count, limit) in enumerate(zip(counts, limits, strict=True)):
            # Blocks with the same number of units cost the same to change, so the first stands for all of them.
            if layer >= budget.free_convs if unit == "channels" else (count, limit) in seen:
                continue
            seen.add((count, limit))
            # A number that is no multiple goes to the next one below or above.
            fewer = -(-count // step) * step - step
            more = min(count // step * step + step, limit)
            changed = [fewer] if fewer >= (1 if unit == "channels" else 0) else []
            changed += [more] if 0 < count < limit else []
            found += [sizes._replace(**{unit: [*counts[:layer], other, *counts[layer + 1 :]]}) for other in changed]
    return found


def _check(budget: Budget, start: EncoderConfig) -> None:
    full = sizes_of(start)
    # With multiple 1 this is the least that can be left: every convolution keeps one channel.
    least = budget.measure(combined(budget.units, _scaled(full, 0.0, 1, start.free_convs), full))
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
