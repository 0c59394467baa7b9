"""Verbs on a Ray cluster as a whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import raysearch
from raysearch.cli.options import Address, Json, Set, Storage, Tracking
from raysearch.cli.output import print_json
from raysearch.errors import InputError


def doctor(
    spec: Annotated[Path | None, typer.Argument(help="Search document, whose corpus every node must read.")] = None,
    overrides: Set = None,
    storage: Storage = None,
    tracking: Tracking = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Ask every node of a cluster whether a search can run there. Exit 1 if something must be mended."""
    document = raysearch.load_spec(spec, overrides or []) if spec else None
    findings = raysearch.doctor(document, storage=storage, tracking=tracking, address=address)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print("\n".join(map(str, findings)))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def submit(
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What the job runs: raysearch search ...")],
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="Ray's dashboard.")
    ] = "http://127.0.0.1:8265",
    working_dir: Annotated[Path, typer.Option(help="Folder that goes along.")] = Path(),
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not follow the job's words.")] = False,
) -> None:
    """Say what goes along, then run `ray job submit`: raysearch submit -- raysearch search SPEC --name NAME"""
    import subprocess
    import sys

    from raysearch.cluster.submission import check_dashboard, package_lines, packed

    if not working_dir.is_dir():
        raise InputError(f"--working-dir: {working_dir}: no such folder; expected the one to send")
    check_dashboard(address)
    print("\n".join(package_lines(packed(working_dir))), flush=True)
    ray = [str(Path(sys.executable).parent / "ray"), "job", "submit"]
    options = ["--address", address, "--working-dir", str(working_dir), *(["--no-wait"] if no_wait else [])]
    raise typer.Exit(subprocess.run([*ray, *options, "--", *words], check=False).returncode)
