"""Verbs on documents and encoders alone: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import raysearch
from raysearch.cli.options import Json, Set
from raysearch.cli.output import print_json


def cost(
    document: Annotated[Path, typer.Argument(help="Encoder or search document, or an encoder's folder.")],
    overrides: Set = None,
    seconds: Annotated[float | None, typer.Option(min=0.025, help="MACs at one length instead of SUPERB's 32.")] = None,
    ecapa: Annotated[int | None, typer.Option(min=8, help="Channels of an ECAPA-TDNN behind it.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters and MACs of an encoder, or of a search's students."""
    found = raysearch.encoder_cost(document, seconds, overrides=overrides or [], ecapa=ecapa)
    if as_json:
        print_json(found)
        return
    if "student" in found:
        print(f"student: {_student(found)}")
    print(f"params: {found['params']:,}")
    over = f"{seconds:g} s of audio" if seconds else f"SUPERB's 32 utterances, {found['seconds']:.2f} s"
    print(f"macs: {found['macs_g']:.2f} GMAC over {over}")
    for part, macs_g in found["parts_g"].items():
        print(f"  {part:18s} {macs_g:10.2f} GMAC  {100 * macs_g / found['macs_g']:5.1f} %")
    if "params_total" in found:
        print(f"params_total: {found['params_total']:,} with what is behind it")
        print(f"macs_total: {found['macs_total_g']:.2f} GMAC with what is behind it")
    for word, one in found.get("space", {}).items():
        print(f"{word} of the space: {one['macs_g']:.2f} GMAC, {one['params'] / 1e6:.2f} M params\n  {_student(one)}")


def _student(found: dict[str, Any]) -> str:
    """Method and searched settings of a student, in a line."""
    method, *settings = found["student"].items()
    return ", ".join([str(method[1]), *(f"{key.rpartition('.')[2]} {value}" for key, value in settings)])


def schema(
    kind: Annotated[str, typer.Argument(help="Of which document: search or encoder.")] = "search",
) -> None:
    """JSON schema of documents, for editors."""
    print_json(raysearch.spec_schema(kind))


def convert(
    source: Annotated[str, typer.Argument(help="torchaudio:NAME, hf:DIR, fairseq:FILE, or a folder of ours.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder.")],
    layout: Annotated[str, typer.Option(help="raysearch, or huggingface for transformers.")] = "raysearch",
) -> None:
    """Read an encoder from another library's files and write it as ours, or for transformers. Pickles are not run."""
    raysearch.convert_encoder(source, out, layout)
    print(out)
