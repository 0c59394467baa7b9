"""Chooses the candidate: the trial of the front to ship, the best one within limits.

Nothing is exported or measured here. The choice names the trials that cannot be told from the candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from raysearch.errors import InputError
from raysearch.front.difference import Difference, Differences
from raysearch.front.document import SearchDocument
from raysearch.front.front import Front
from raysearch.front.objective import COSTS, axes, header, value
from raysearch.front.trials import TrialRecord
from raysearch.settings import Outcome


class Limits(Outcome):
    """What a candidate must keep to. None sets no limit."""

    macs_g: float | None = None
    """Most GMAC of the encoder, over SUPERB's 32 utterances."""
    params_m: float | None = None
    """Most parameters of the encoder, in millions."""
    size_mb: float | None = None
    """Largest exported file, in MB of a million bytes."""
    latency_ms: float | None = None
    """Longest median latency of the exported file, on the search's device or else on this machine, in milliseconds."""
    errors: Mapping[str, float] = {}
    """Largest error on dev by task metric, in percent."""

    @property
    def need_export(self) -> bool:
        """Whether trials must be exported before it is known if they keep to the limits."""
        return self.size_mb is not None or self.latency_ms is not None


class Candidate(Outcome):
    """The member of the front that was chosen to ship."""

    trial: int
    limits: Limits
    notes: list[str]
    """Sentences that a reader should know before trusting the choice."""


class ExportCost(Outcome):
    """What a trial costs that is known only once it is exported."""

    size_mb: float
    """Size of the exported file, in MB of a million bytes."""
    latency_ms: float
    """Median latency of the exported file on this machine, in milliseconds."""


def members_within(document: SearchDocument, limits: Limits) -> list[TrialRecord]:
    """The members of the front that keep to the limits which need no export, by MACs.

    Raises: InputError if there is none. It says what the nearest member has.
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
    """The members whose exported files keep to the limits. `costs` has those of each member by its trial's number.

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
    document: SearchDocument,
    members: Sequence[TrialRecord],
    limits: Limits,
    objective: str | None,
    *,
    knee: bool = False,
    cheapest: bool = False,
    trial: int | None = None,
) -> Candidate:
    """The member with the least `objective` (the search's error by default), the knee of the front, or trial `trial`.

    The knee is the point beyond which more cost begins to buy less. The notes name the cheaper members that cannot be
    told from the one that was chosen. With `cheapest`, the cheapest of these is chosen in its place.
    Raises: InputError if no trial of the search has the objective, if `trial` is none of the members, or if two ways to
    choose are asked for.
    """
    objective = objective or axes(document.objectives)[1]
    if objective not in COSTS and not any(isfinite(value(member, objective)) for member in members):
        raise InputError(f"--objective: {objective}; expected a cost or an error that {document.name} measured")
    if knee and cheapest:
        raise InputError("--knee: given with --cheapest; expected one of the two")
    if trial is not None and (knee or cheapest):
        raise InputError(f"--trial: given with {'--knee' if knee else '--cheapest'}; expected one of the two")
    if trial is not None:
        best = _member(members, trial)
    elif knee:
        at_knee = Front.of(members, document.objectives).knee()
        assert at_knee is not None  # `members_within` lets no empty front through
        best = at_knee
    else:
        best = min(members, key=lambda member: (value(member, objective), member.cost.macs_g))
    like_it = _cheaper_alike(best, members, document, objective)
    if not cheapest:
        notes = [_not_told(other, best, objective, found) for other, found in like_it]
        return Candidate(trial=best.number, limits=limits, notes=notes)
    # The cheapest of those that are like the best one, or itself.
    notes = [_not_told(other, best, objective, found) for other, found in like_it[:1]]
    return Candidate(trial=like_it[0][0].number if like_it else best.number, limits=limits, notes=notes)


def _member(members: Sequence[TrialRecord], number: int) -> TrialRecord:
    for member in members:
        if member.number == number:
            return member
    numbers = ", ".join(str(member.number) for member in members)
    raise InputError(f"--trial: {number}; expected one of the front within the limits: {numbers}")


def _cheaper_alike(
    best: TrialRecord, members: Sequence[TrialRecord], document: SearchDocument, objective: str
) -> list[tuple[TrialRecord, Difference]]:
    """The members that cost less than the best one and cannot be told from it, the cheapest first.

    Beside each stands by how much its error is higher.
    """
    # Costs are exact: two of them can always be told apart.
    if objective in COSTS:
        return []
    cost, _ = axes(document.objectives)
    cheaper = [member for member in members if value(member, cost) < value(best, cost)]
    told = Differences(members, objective)
    found = ((member, told.between(member, best)) for member in sorted(cheaper, key=lambda one: value(one, cost)))
    return [(member, one) for member, one in found if not one.clear]


def _not_told(cheaper: TrialRecord, best: TrialRecord, objective: str, found: Difference) -> str:
    name = header(objective)
    why = "their intervals overlap"
    if found.by == "pairs":
        why = f"on the same cuts it has {found.value:.2f} points more ({found.low:.2f} to {found.high:.2f})"
    return (
        f"trial {cheaper.number} ({name} {value(cheaper, objective):.2f}, {cheaper.cost.macs_g:.4g} GMAC) is cheaper "
        f"and cannot be told from trial {best.number} ({name} {value(best, objective):.2f}, "
        f"{best.cost.macs_g:.4g} GMAC): {why}"
    )
