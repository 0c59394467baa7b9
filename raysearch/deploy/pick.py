"""The verb `pick`: for each budget choose, export, measure, and where asked verify and register."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysearch.deploy.candidate import Deployment
from raysearch.deploy.choice import Limits, Pick
from raysearch.deploy.latency import Load
from raysearch.deploy.manifest import Measured
from raysearch.deploy.verify import verify_against
from raysearch.errors import InputError
from raysearch.settings import Settings
from raysearch.storage.folder import SearchFolder


class PickOrder(Settings):
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


class Picked(Settings):
    trial: int
    max_macs_g: float | None
    macs_g: float
    params_m: float
    notes: list[str]
    export: Path
    measured: list[Measured]
    registered: dict[str, Any] | None


def pick_trials(folder: SearchFolder, order: PickOrder, say: Callable[[str], None]) -> list[Picked]:
    """One pick a budget; all are chosen before the first is measured.

    Raises: InputError if nothing keeps to the limits; WorkError if an export differs from its checkpoint.
    """
    if order.model is not None:
        _check_alias(order.alias)
    deployment = Deployment(folder, order.precisions, order.load, say)
    chosen = [deployment.pick(_limits(order, budget), order.objective, order.knee) for budget in order.budgets]
    return [_ship(deployment, pick, order, say) for pick in chosen]


def picks_text(picked: list[Picked]) -> str:
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


def _limits(order: PickOrder, budget: float | None) -> Limits:
    return Limits(
        macs_g=budget,
        params_m=order.params_m,
        size_mb=order.size_mb,
        latency_ms=order.latency_ms,
        errors=order.errors,
    )


def _ship(deployment: Deployment, pick: Pick, order: PickOrder, say: Callable[[str], None]) -> Picked:
    manifest = deployment.measure(pick.trial)
    out = deployment.export(pick.trial)
    registered = None
    if order.model is not None:
        from raysearch.deploy.register import alias_of, register

        folder = deployment.folder
        say(f"trial {pick.trial}: verifying and registering")
        seed = folder.spec().search.seed
        verdict = verify_against(out, manifest, folder.trial(pick.trial), deployment.corpus, seed)
        registered = register(
            folder,
            out,
            manifest,
            verdict,
            pick,
            deployment.corpus,
            model=order.model,
            alias=alias_of(order.alias, pick, several=len(order.budgets) > 1),
            tracking=order.tracking or folder.links().tracking,
        ).model_dump()
    return Picked(
        trial=pick.trial,
        max_macs_g=pick.limits.macs_g,
        macs_g=manifest.macs_g,
        params_m=manifest.params_m,
        notes=pick.notes,
        export=out,
        measured=manifest.measured,
        registered=registered,
    )


def _check_alias(alias: str) -> None:
    from raysearch.deploy.register import is_alias

    if not is_alias(alias):
        raise InputError(f"--alias: {alias}; expected letters, digits, - and _, and no version such as v1")
