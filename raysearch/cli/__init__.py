"""The command line. Each verb parses, calls one function and prints; the table of verbs is in this file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from raysearch import __version__
from raysearch.cli import cluster, data, deploying, documents, fronts, planning, profiling, searching, spaces, tracking
from raysearch.cli.interrupts import Interrupts
from raysearch.cli.output import say
from raysearch.errors import CutOffError, InputError, WorkError
from raysearch.files.disk import told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Search the published ways to compress a speech encoder for the front of MACs against error.",
)
for verb in (
    searching.search,
    searching.resume,
    searching.rm,
    fronts.status,
    fronts.front,
    fronts.compare,
    fronts.record,
    deploying.pick,
    deploying.export,
    deploying.verify,
    deploying.transcribe,
    deploying.verify_speaker,
    deploying.reproduce,
    searching.table,
    searching.simulate,
    planning.plan,
    documents.cost,
    documents.convert,
    documents.schema,
    spaces.spaces,
    profiling.profile,
    tracking.sync,
    cluster.doctor,
    cluster.submit,
):
    app.command()(verb)

FAMILIES: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "corpus": (
        "Look at a corpus, bring it into one form, or make a synthetic one.",
        {"check": data.corpus_check, "prepare": data.corpus_prepare, "synth": data.corpus_synth},
    ),
    "targets": (
        "Label sets in the store.",
        {"build": data.targets_build, "ls": data.targets_ls, "gc": data.targets_gc},
    ),
    "tracking": ("The MLflow server with the page of the searches.", {"up": tracking.tracking_up}),
}
for name, (purpose, verbs) in FAMILIES.items():
    family = typer.Typer(no_args_is_help=True, help=purpose)
    for word, member in verbs.items():
        family.command(word)(member)
    app.add_typer(family, name=name)


def _version(asked: bool) -> None:
    if asked:
        print(f"raysearch {__version__}")
        raise typer.Exit


@app.callback()
def _before_any_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _told(err: Exception) -> int:
    """Says what a library has raised, where that is no fault of ours, and returns the exit code; else raises it."""
    if line := told(err):
        say(line)
        return 1
    # Click's own complaints about arguments; anything else is a fault of ours and keeps its traceback.
    if not hasattr(err, "format_message"):
        raise err
    message = err.format_message()
    say(message if message.startswith("Usage:") else f"raysearch: {message}")
    return 2


def main() -> NoReturn:
    """Entry point: errors become one line and an exit code."""
    interrupts = Interrupts()
    interrupts.listen()
    try:
        code = _run()
    except BaseException:
        if interrupts.heard is None:
            raise
    # Whatever a library has made of the signal on its way up.
    if interrupts.heard is not None:
        interrupts.end()
    sys.exit(code)


def _run() -> int:
    """Runs the verb that the words of the command line ask for. Returns its exit code."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except InputError as err:
        say(str(err))
        return 2
    except CutOffError as err:
        say(str(err))
        # Ray would be asked once more when the interpreter ends, and would never answer.
        os._exit(1)
    except WorkError as err:
        say(str(err))
        return 1
    except BrokenPipeError:
        # Whoever reads stdout has had enough, as `head` does: what is left to flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.Abort:
        return 130
    except Exception as err:
        return _told(err)
