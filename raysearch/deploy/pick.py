"""The verb `pick`: for each budget choose, export, measure, and where asked verify and register."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysearch.deploy.choosing import Candidate, Limits, choose_candidate, exports_within, members_within
from raysearch.deploy.latency import Load
from raysearch.deploy.manifest import Measured
from raysearch.deploy.measured_exports import MeasuredExports
from raysearch.deploy.verify import verify_against
from raysearch.errors import InputError
from raysearch.search.reading import read_document
from raysearch.settings import Settings
from raysearch.storage.folder import SearchFolder


class PickRequest(Settings):
    """What the user asked for."""

    budgets: list[float | None]
    """GMAC; one pick each."""
    params_m: float | None
    size_mb: float | None
    latency_ms: float | None
    errors: dict[str, float]
    objective: str | None
    knee: bool
    precisions: list[Any]
    load: Load
    model: str | None
    """Registered model; None registers nothing."""
    alias: str
    tracking: str | None


class ShippedCandidate(Settings):
    trial: int
    max_macs_g: float | None
    macs_g: float
    params_m: float
    notes: list[str]
    export: Path
    measured: list[Measured]
    registered: dict[str, Any] | None


def pick_candidates(folder: SearchFolder, request: PickRequest, say: Callable[[str], None]) -> list[ShippedCandidate]:
    """One pick a budget; all are chosen before the first is measured.

    Raises: InputError if nothing keeps to the limits; WorkError if an export differs from its checkpoint.
    """
    if request.model is not None:
        _check_alias(request.alias)
    exports = MeasuredExports(folder, request.precisions, request.load, say)
    chosen = [_choose(exports, _limits(request, budget), request) for budget in request.budgets]
    return [_ship(exports, candidate, request, say) for candidate in chosen]


def picks_text(picked: list[ShippedCandidate]) -> str:
    lines = []
    for one in picked:
        budget = "" if one.max_macs_g is None else f" (at most {one.max_macs_g:g} GMAC)"
        lines.append(f"trial {one.trial}{budget}: {one.macs_g:.4g} GMAC, {one.params_m:.4g} M parameters, {one.export}")
        for row in one.measured:
            error, latency = row.error, row.latency
            lines.append(
                f"  {row.file}: {row.size_bytes / 1e6:.2f} MB, {row.split} {row.metric.upper()} {error.value:.2f} "
                f"({error.low:.2f} - {error.high:.2f}) %, {latency.seconds:g} s in {latency.median_ms:.1f} ms "
                f"(p95 {latency.p95_ms:.1f}), real-time factor {latency.rtf:.5f}"
            )
        lines += [f"  note: {note}" for note in one.notes]
        if one.registered:
            lines.append(f"  registered: {one.registered['uri']}, version {one.registered['version']}")
    return "\n".join(lines)


def _limits(request: PickRequest, budget: float | None) -> Limits:
    return Limits(
        macs_g=budget,
        params_m=request.params_m,
        size_mb=request.size_mb,
        latency_ms=request.latency_ms,
        errors=request.errors,
    )


def _choose(exports: MeasuredExports, limits: Limits, request: PickRequest) -> Candidate:
    document = read_document(exports.folder)
    members = members_within(document, limits)
    if limits.need_export:
        members = exports_within(members, limits, {member.number: exports.cost(member.number) for member in members})
    return choose_candidate(document, members, limits, request.objective, request.knee)


def _ship(
    exports: MeasuredExports, candidate: Candidate, request: PickRequest, say: Callable[[str], None]
) -> ShippedCandidate:
    manifest = exports.measure(candidate.trial)
    out = exports.export(candidate.trial)
    registered = None
    if request.model is not None:
        from raysearch.deploy.register import alias_of, register

        folder = exports.folder
        say(f"trial {candidate.trial}: verifying and registering")
        seed = folder.spec().search.seed
        verdict = verify_against(out, manifest, folder.trial(candidate.trial), exports.corpus, seed)
        registered = register(
            folder,
            out,
            manifest,
            verdict,
            candidate,
            exports.corpus,
            model=request.model,
            alias=alias_of(request.alias, candidate, several=len(request.budgets) > 1),
            tracking=request.tracking or folder.links().tracking,
        ).model_dump()
    return ShippedCandidate(
        trial=candidate.trial,
        max_macs_g=candidate.limits.macs_g,
        macs_g=manifest.macs_g,
        params_m=manifest.params_m,
        notes=candidate.notes,
        export=out,
        measured=manifest.measured,
        registered=registered,
    )


def _check_alias(alias: str) -> None:
    from raysearch.deploy.register import is_alias

    if not is_alias(alias):
        raise InputError(f"--alias: {alias}; expected letters, digits, - and _, and no version such as v1")
