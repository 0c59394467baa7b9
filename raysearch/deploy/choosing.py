"""Which trial to ship: the best within limits, with a word on those that cannot be told from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from raysearch.errors import InputError
from raysearch.front.document import SearchDocument
from raysearch.front.front import Front, Mark
from raysearch.front.objective import COSTS, axes, header, interval, value
from raysearch.front.trials import TrialRecord
from raysearch.settings import Settings


class Limits(Settings):
    """What a candidate must keep to; None does not limit."""

    macs_g: float | None = None
    params_m: float | None = None
    size_mb: float | None = None
    """Of the exported file, in MB of a million bytes."""
    latency_ms: float | None = None
    """Median on this machine."""
    errors: Mapping[str, float] = {}
    """Task metrics on dev, in percent."""

    @property
    def need_export(self) -> bool:
        """Whether candidates must be exported to know if they keep to them."""
        return self.size_mb is not None or self.latency_ms is not None


class Candidate(Settings):
    trial: int
    limits: Limits
    notes: list[str]
    """What a reader should know before trusting the choice."""


class ExportCost(Settings):
    """What is known of a trial once it is exported."""

    size_mb: float
    latency_ms: float


def members_within(document: SearchDocument, limits: Limits) -> list[TrialRecord]:
    """The front's members within the limits that need no export, by MACs.

    Raises: InputError if there is none, with what the nearest one has.
    """
    members = document.members()
    if not members:
        raise InputError(f"{document.name}: no complete trial; expected a front to pick from")
    bounds = {"macs": limits.macs_g, "params": limits.params_m, **limits.errors}
    for objective, bound in bounds.items():
        if bound is None:
            continue
        values = [value(member, objective) for member in members]
        if not any(isfinite(one) for one in values):
            raise InputError(f"--max: {objective}: not measured in {document.name}; expected one of its metrics")
        kept = [member for member, one in zip(members, values, strict=True) if one <= bound]
        if not kept:
            option = f"--max-{objective}" if objective in COSTS else f"--max {objective}"
            raise InputError(f"{option}: {bound:g}; expected at least {min(values):.4g}, the least of what is left")
        members = kept
    return members


def exports_within(
    members: Sequence[TrialRecord], limits: Limits, costs: Mapping[int, ExportCost]
) -> list[TrialRecord]:
    """Those of the members whose exports keep to the limits.

    Raises: InputError if there is none.
    """
    for name, option in (("size_mb", "--max-size"), ("latency_ms", "--max-latency")):
        bound = getattr(limits, name)
        if bound is None:
            continue
        kept = [member for member in members if getattr(costs[member.number], name) <= bound]
        if not kept:
            least = min(getattr(costs[member.number], name) for member in members)
            raise InputError(f"{option}: {bound:g}; expected at least {least:.4g}, the least of what is left")
        members = kept
    return list(members)


def choose_candidate(
    document: SearchDocument, members: Sequence[TrialRecord], limits: Limits, objective: str | None, knee: bool
) -> Candidate:
    """The member with the least `objective` (the search's error by default), or the knee.

    A member whose lead over a cheaper one is within noise is passed over for the cheaper one, and named.
    """
    front = Front.of(members, document.objectives)
    marks = front.marks()
    noisy = [member for member in members if marks[member.number] is Mark.FRONT_WITHIN_NOISE]
    objective = objective or axes(document.objectives)[1]
    if objective not in COSTS and not any(isfinite(value(member, objective)) for member in members):
        raise InputError(f"--objective: {objective}; expected a cost or an error that {document.name} measured")
    if knee:
        best = front.knee()
        assert best is not None
    else:
        clear = [member for member in members if member not in noisy]
        best = min(clear or members, key=lambda member: (value(member, objective), member.cost.macs_g))
    notes = [_told_apart(best, other, objective) for other in noisy if other.number != best.number]
    if best in noisy:
        notes.insert(0, f"trial {best.number} cannot be told from a cheaper trial within their intervals")
    return Candidate(trial=best.number, limits=limits, notes=[note for note in notes if note])


def _told_apart(best: TrialRecord, other: TrialRecord, objective: str) -> str:
    if objective in COSTS:
        return ""
    (low, high), (other_low, other_high) = interval(best, objective), interval(other, objective)
    if other_low > high or low > other_high:
        return ""
    name = header(objective)
    return (
        f"trial {other.number} ({name} {value(other, objective):.2f}, {other.cost.macs_g:.4g} GMAC) "
        f"cannot be told from trial {best.number} ({name} {value(best, objective):.2f}, "
        f"{best.cost.macs_g:.4g} GMAC): intervals overlap"
    )
