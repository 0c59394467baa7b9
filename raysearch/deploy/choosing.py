"""Chooses the candidate: the trial of the front to ship, the best one within limits.

Nothing is exported or measured here. The choice names the trials that cannot be told from the candidate.
"""

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
    """What a candidate must keep to. None sets no limit."""

    macs_g: float | None = None
    """Most GMAC of the encoder, over SUPERB's 32 utterances."""
    params_m: float | None = None
    """Most parameters of the encoder, in millions."""
    size_mb: float | None = None
    """Largest exported file, in MB of a million bytes."""
    latency_ms: float | None = None
    """Longest median latency of the exported file on this machine, in milliseconds."""
    errors: Mapping[str, float] = {}
    """Largest error on dev by task metric, in percent."""

    @property
    def need_export(self) -> bool:
        """Whether trials must be exported before it is known if they keep to the limits."""
        return self.size_mb is not None or self.latency_ms is not None


class Candidate(Settings):
    """The member of the front that was chosen to ship."""

    trial: int
    limits: Limits
    notes: list[str]
    """Sentences that a reader should know before trusting the choice."""


class ExportCost(Settings):
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
    document: SearchDocument, members: Sequence[TrialRecord], limits: Limits, objective: str | None, knee: bool
) -> Candidate:
    """The member with the least `objective` (the search's error by default), or the knee of the front.

    The knee is the point beyond which more cost begins to buy less. A member whose lead over a cheaper one is within
    noise is passed over for the cheaper one, and is named in the notes.
    Raises: InputError if no trial of the search has the objective.
    """
    front = Front.of(members, document.objectives)
    marks = front.marks()
    noisy = [member for member in members if marks[member.number] is Mark.FRONT_WITHIN_NOISE]
    objective = objective or axes(document.objectives)[1]
    if objective not in COSTS and not any(isfinite(value(member, objective)) for member in members):
        raise InputError(f"--objective: {objective}; expected a cost or an error that {document.name} measured")
    if knee:
        best = front.knee()
        assert best is not None  # `members_within` lets no empty front through
    else:
        # Where every member is within noise of a cheaper one, none is passed over.
        clear = [member for member in members if member not in noisy]
        best = min(clear or members, key=lambda member: (value(member, objective), member.cost.macs_g))
    notes = [_told_apart(best, other, objective) for other in noisy if other.number != best.number]
    if best in noisy:
        notes.insert(0, f"trial {best.number} cannot be told from a cheaper trial within their intervals")
    return Candidate(trial=best.number, limits=limits, notes=[note for note in notes if note])


def _told_apart(best: TrialRecord, other: TrialRecord, objective: str) -> str:
    # Costs are exact: two of them can always be told apart.
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
