"""Verbs from a trial to a model that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import raysearch
from raysearch.cli.options import Json, Storage
from raysearch.cli.output import print_json, quiet_mlflow, say
from raysearch.errors import InputError

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="An exported ONNX file, or the folder of the export.")]


def pick(
    name: str,
    max_macs: Annotated[list[float] | None, typer.Option(help="GMAC; several budgets give several picks.")] = None,
    max_params: Annotated[float | None, typer.Option(help="Millions of parameters.")] = None,
    max_size: Annotated[float | None, typer.Option(help="MB of the exported file.")] = None,
    max_latency: Annotated[float | None, typer.Option(help="Median ms on the search's device, else here.")] = None,
    max_error: Annotated[list[str] | None, typer.Option("--max", metavar="METRIC=PERCENT", help="On dev.")] = None,
    objective: Annotated[str | None, typer.Option(help="What is least; by default the search's error.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Where more MACs begin to buy less.")] = False,
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="The cheapest that cannot be told from the best within the limits.")
    ] = False,
    trial: Annotated[int | None, typer.Option(metavar="N", help="This member of the front, and no other.")] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="See deploy.precision; the first one is shipped. By default the trial's own."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads, for the latency; else the device's, or 1.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Recordings at once; else the device's, or 1.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Length of each; else the device's, or 10.")] = None,
    register: Annotated[str | None, typer.Option(metavar="MODEL", help="Register with MLflow under this name.")] = None,
    alias: Annotated[str, typer.Option(help="Several budgets add theirs: candidate-160g.")] = "candidate",
    storage: Storage = None,
    tracking: Annotated[str | None, typer.Option(help="MLflow to register with, if not the search's own.")] = None,
    as_json: Json = False,
) -> None:
    """Choose from the front, export, measure what is shipped, register: raysearch pick NAME --max-macs 160"""
    quiet_mlflow()
    bounds = percentages(max_error or [])
    picked = raysearch.open_search(name, storage=storage).pick(
        max_macs=max_macs or None,
        max_params=max_params,
        max_size=max_size,
        max_latency=max_latency,
        max_error=bounds,
        objective=objective,
        knee=knee,
        cheapest=cheapest,
        trial=trial,
        precision=precision or (),
        threads=threads,
        batch=batch,
        seconds=seconds,
        register=register,
        alias=alias,
        tracking=tracking,
        say=say,
    )
    from raysearch.deploy.pick import picks_text

    if as_json:
        print_json({"name": name, "picks": [one.model_dump(mode="json") for one in picked]})
    else:
        print(picks_text(picked))


def export(
    name: str,
    trial: int,
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder.")],
    formats: Annotated[list[str] | None, typer.Option("--format", help="onnx, pt2 or safetensors; repeatable.")] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="Of ONNX, as deploy.precision has them; repeatable. By default the trial's own."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Whose head; by default the one searched for.")] = None,
    layout: Annotated[
        str, typer.Option(help="Whose runtime loads it: raysearch, sherpa (sherpa-onnx) or onnx-asr.")
    ] = "raysearch",
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a trial as a whole model, waveform in, log-probabilities out. Not for streaming."""
    found = raysearch.open_search(name, storage=storage)
    manifest = found.export(
        trial, out, formats=formats or "onnx", precision=precision or (), task=task, layout=layout, say=say
    )
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    for file in manifest.files:
        print(f"{out / file}: {(out / file).stat().st_size / 1e6:.2f} MB")


def verify(
    out: Annotated[Path, typer.Argument(metavar="DIR")],
    split: Annotated[str, typer.Option(help="dev, some of it; or test, all of it.")] = "dev",
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Compare an export with its checkpoint on real audio, in the runtime that it is for. Exit 1 if they differ."""
    verdict = raysearch.verify(out, split=split, storage=storage)
    if as_json:
        print_json(verdict.document())
    else:
        print(verdict.table())
    if not verdict.ok:
        raise typer.Exit(1)


def transcribe(
    model: Model,
    audio: list[Path],
    threads: Annotated[int, typer.Option(min=0, help="0: onnxruntime decides.")] = 0,
    as_json: Json = False,
) -> None:
    """Text of 16 kHz mono recordings, or their label or slots, from an exported model and without torch."""
    from raysearch.deploy.runtime.transcribe import transcript

    faults: list[InputError] = []
    rows = raysearch.transcribe(model, audio, threads=threads, unreadable=faults.append)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            if not row["whole"]:
                say(f"{row['file']}: {row['seconds']:.0f} s; read in windows")
        if rows:
            print(transcript(rows, several=len(audio) > 1), flush=True)
    if faults:
        raise InputError("\n".join(map(str, faults)))


def verify_speaker(
    model: Model,
    one: Path,
    other: Path,
    threads: Annotated[int, typer.Option(min=0, help="0: onnxruntime decides.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether one person speaks in two 16 kHz mono recordings, by an exported model and without torch."""
    found = raysearch.verify_speaker(model, one, other, threads=threads)
    if as_json:
        print_json(found)
        return
    verdict = "one speaker" if found["same"] else "two speakers"
    print(f"{verdict}: cosine {found['score']:.3f}, threshold {found['threshold']:.3f}")


def reproduce(
    name: str,
    trial: int,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="New folder for the new run.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Run a trial again from its record and say what differs. Exit 1 if its error leaves the recorded interval."""
    found = raysearch.open_search(name, storage=storage).reproduce(trial, out, say=say)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(found.text())
    if not found.within:
        raise typer.Exit(1)


def percentages(given: list[str]) -> dict[str, float]:
    found = {}
    for one in given:
        metric, _, bound = one.partition("=")
        try:
            found[metric] = float(bound)
        except ValueError as err:
            raise InputError(f"--max: {one}; expected METRIC=PERCENT, e.g. per=20") from err
    return found
