"""The whole of the verb `pick`: for each budget it chooses a candidate, exports it and measures the files.

Where that was asked for, it also verifies the export and registers it in MLflow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysearch.deploy.choosing import Candidate, Limits, choose_candidate, exports_within, members_within
from raysearch.deploy.manifest import Measured
from raysearch.deploy.measured_exports import MeasuredExports
from raysearch.deploy.verify import verify_against
from raysearch.errors import InputError
from raysearch.exported.latency import Load
from raysearch.search.reading import read_document
from raysearch.settings import Outcome
from raysearch.storage.folder import SearchFolder


class PickRequest(Outcome):
    """What the user of `raysearch pick` asked for."""

    budgets: list[float | None]
    """Limits in GMAC. Each gives one candidate. None sets no limit."""
    params_m: float | None
    """Limit in millions of parameters."""
    size_mb: float | None
    """Limit on the exported file, in MB of a million bytes."""
    latency_ms: float | None
    """Limit on the median latency of the exported file on this machine, in milliseconds."""
    errors: dict[str, float]
    """Limits on errors on dev by task metric, in percent."""
    objective: str | None
    """What the candidate must be best in. None stands for the search's error."""
    knee: bool
    """Whether to take the knee of the front in place of the best member."""
    cheapest: bool = False
    """Whether to take the cheapest member that cannot be told from the best one."""
    trial: int | None = None
    """The member to take, whatever the others are. None leaves the choice to the rules above."""
    precisions: list[Any]
    """Precisions of the ONNX files."""
    load: Load
    """What latencies are measured under."""
    model: str | None
    """Name of the registered model in MLflow. None registers nothing."""
    alias: str
    """Alias of the new version of the registered model."""
    tracking: str | None
    """Address of the MLflow server. None stands for the search's own."""


class ShippedCandidate(Outcome):
    """A candidate that was exported and measured, as `pick --json` prints it."""

    trial: int
    max_macs_g: float | None
    """The budget that it was chosen for, in GMAC."""
    macs_g: float
    params_m: float
    notes: list[str]
    """Sentences that a reader should know before trusting the choice."""
    export: Path
    """Folder of the export."""
    measured: list[Measured]
    """What was measured of each exported file."""
    registered: dict[str, Any] | None
    """The version of the registered model. None if nothing was registered."""


def pick_candidates(folder: SearchFolder, request: PickRequest, say: Callable[[str], None]) -> list[ShippedCandidate]:
    """One candidate for each budget. All are chosen before the first is measured, so that bad limits cost no time.

    Raises: InputError if nothing keeps to the limits; WorkError if an export differs from its checkpoint.
    """
    # Checked first: a bad alias must not come to light after all the measuring.
    if request.model is not None:
        _check_alias(request.alias)
    exports = MeasuredExports(folder, request.precisions, request.load, say)
    chosen = [_choose(exports, _limits(request, budget), request) for budget in request.budgets]
    return [_ship(exports, candidate, request, say) for candidate in chosen]


def picks_text(picked: list[ShippedCandidate]) -> str:
    """The shipped candidates as lines for people."""
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
        members = exports_within(members, limits, {member.number: exports.cost(member) for member in members})
    return choose_candidate(
        document,
        members,
        limits,
        request.objective,
        knee=request.knee,
        cheapest=request.cheapest,
        trial=request.trial,
    )


def _ship(
    exports: MeasuredExports, candidate: Candidate, request: PickRequest, say: Callable[[str], None]
) -> ShippedCandidate:
    manifest = exports.measure(candidate.trial)
    out = exports.export(candidate.trial)
    registered = None
    if request.model is not None:
        # MLflow is slow to import: only those who register pay for it.
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
            tracking=request.tracking or folder.tracking,
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
        raise InputError(
            f"--alias: {alias}; expected letters, digits, - and _, but no version such as v1, and not latest"
        )
