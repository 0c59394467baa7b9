"""What all verbs have in common: where they write, and who reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysearch import __version__
from raysearch.cli import app
from raysearch.errors import InputError

RECORD = str(Path(__file__).parents[2] / "results/sv.json.gz")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["front", RECORD, "--png"], "--png"),
        (["front", RECORD, "--html"], "--html"),
        (["record", "none", "-o"], "--out"),
        (["table", "none", "-o"], "--out"),
    ],
)
def test_file_in_a_folder_that_is_missing_is_refused_before_the_work(words: list[str], option: str) -> None:
    found = CliRunner().invoke(app, [*words, "/nowhere/x.json.gz"])
    assert isinstance(found.exception, InputError)
    assert str(found.exception).startswith(f"{option}: /nowhere/x.json.gz: no such folder; expected")


def test_reader_that_has_had_enough_is_no_fault() -> None:
    verb = subprocess.Popen(
        [sys.executable, "-m", "raysearch.cli", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert verb.stdout is not None
    assert verb.stderr is not None
    verb.stdout.close()
    said = verb.stderr.read()
    assert (verb.wait(timeout=60), said) == (1, b"")


def test_status_says_that_there_is_nothing(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["status", "--storage", str(tmp_path)])
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", f"no searches in {tmp_path}\n")


def test_version_is_the_packages_own() -> None:
    found = CliRunner().invoke(app, ["--version"])
    assert (found.exit_code, found.stdout) == (0, f"raysearch {__version__}\n")
