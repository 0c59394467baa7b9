"""Verbs on documents alone: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli.options import Json, Set
from raysearch.cli.output import print_json


def cost(
    document: Path,
    overrides: Set = None,
    seconds: Annotated[float | None, typer.Option(min=0.025, help="MACs at one length instead of SUPERB's 32.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters and MACs of an encoder document or of a spec's student, without training."""
    from raysearch.encoder import cost as closed_form
    from raysearch.encoder.config import SAMPLE_RATE_HZ
    from raysearch.spec import load_encoder_document

    config = load_encoder_document(document, overrides or [])
    samples = closed_form.SUPERB_SAMPLES if seconds is None else [round(seconds * SAMPLE_RATE_HZ)]
    parts: dict[str, int] = {}
    for length in samples:
        for part, macs in closed_form.cost_parts(config, length).items():
            parts[part] = parts.get(part, 0) + macs
    total = sum(parts.values())
    found = {
        "params": closed_form.params(config),
        "macs_g": total / 1e9,
        "seconds": seconds or sum(samples) / SAMPLE_RATE_HZ,
        "parts_g": {part: macs / 1e9 for part, macs in parts.items()},
    }
    if as_json:
        print_json(found)
        return
    print(f"params: {found['params']:,}")
    over = f"{seconds:g} s of audio" if seconds else f"SUPERB's 32 utterances, {found['seconds']:.2f} s"
    print(f"macs: {total / 1e9:.2f} GMAC over {over}")
    for part, macs in parts.items():
        print(f"  {part:18s} {macs / 1e9:10.2f} GMAC  {100 * macs / total:5.1f} %")


def schema() -> None:
    """The search document's JSON schema, for editors."""
    from raysearch.spec import Spec

    print_json(Spec.model_json_schema())
