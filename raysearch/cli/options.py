"""Options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raysearch.errors import InputError

Storage = Annotated[
    str | None,
    typer.Option(
        envvar="RAYSEARCH_STORAGE", help="Folder of the searches, a URI such as s3://, or a database URL for the study."
    ),
]
Tracking = Annotated[str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow to mirror to.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the document.")]
Widen = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Give it more choices, ranges or methods, or another budget."),
]
Wide = Annotated[bool, typer.Option("--wide", help="All columns, also where they do not fit the terminal.")]
Trials = Annotated[int | None, typer.Option(min=1, help="Number of trials.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use; without one, a Ray of its own here.")]


def in_a_folder(param: typer.CallbackParam, file: Path | None) -> Path | None:
    """Of an option that names a file to write: known before the work is done."""
    if file is not None and not file.parent.is_dir():
        raise InputError(f"{param.opts[-1]}: {file}: no such folder; expected a file in one that exists")
    return file
