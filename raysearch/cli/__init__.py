"""The command line. Each verb parses, calls one function and prints; the table of verbs is in this file."""

from __future__ import annotations

import errno
import gc
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from raysearch import __version__
from raysearch.cli import cluster, data, deploying, documents, fronts, planning, profiling, searching, spaces, tracking
from raysearch.cli.interrupts import Interrupts
from raysearch.cli.output import say
from raysearch.errors import CutOffError, InputError, WorkError, clipped
from raysearch.files.disk import told

NO_PATHS = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of a path that leads to no file, whatever is done."""
HELP = {"help_option_names": ["-h", "--help"]}


class Verbs(TyperGroup):
    """Verbs with their panels, each with the whole first sentence of its help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        longest = max(map(len, self.commands))
        for name, verb in self.commands.items():
            summary = re.split(r": raysearch |(?<=\.) ", " ".join((verb.help or "").split()), maxsplit=1)[0].rstrip(".")
            panels.setdefault(str(verb.rich_help_panel), []).append((name.ljust(longest), f"{summary}."))  # type: ignore[attr-defined]
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
    help="Search the published ways to compress a speech encoder for the front of MACs against error.",
)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run searches": (searching.search, searching.resume, fronts.status, searching.rm),
    "Read what they found": (fronts.front, fronts.compare, fronts.claim, fronts.record, tracking.sync),
    "Ship a trial": (
        *(deploying.pick, deploying.export, deploying.verify, deploying.transcribe, deploying.verify_speaker),
        deploying.reproduce,
    ),
    "Prepare a search": (
        *(spaces.spaces, planning.plan, documents.cost, profiling.profile, searching.table, searching.simulate),
        *(documents.schema, documents.convert),
    ),
    "Clusters and servers": (cluster.doctor, cluster.submit),
}
for panel, members in PANELS.items():
    for verb in members:
        app.command(rich_help_panel=panel)(verb)

FAMILIES: dict[str, tuple[str, str, dict[str, Callable[..., None]]]] = {
    "corpus": (
        "Prepare a search",
        "Look at a corpus, bring it into one form, or make a synthetic one.",
        {"check": data.corpus_check, "prepare": data.corpus_prepare, "synth": data.corpus_synth},
    ),
    "targets": (
        "Prepare a search",
        "Label sets in the store.",
        {"build": data.targets_build, "ls": data.targets_ls, "gc": data.targets_gc},
    ),
    "tracking": (
        "Clusters and servers",
        "The MLflow server with the page of the searches.",
        {"up": tracking.tracking_up},
    ),
}
for name, (panel, purpose, verbs) in FAMILIES.items():
    family = typer.Typer(cls=Verbs, no_args_is_help=True, help=purpose, context_settings=HELP)
    for word, member in verbs.items():
        family.command(word, rich_help_panel="Verbs")(member)
    app.add_typer(family, name=name, rich_help_panel=panel)


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
    if isinstance(err, OSError) and err.errno in NO_PATHS:
        say(f"{clipped(str(err.filename))}: {os.strerror(err.errno)}; expected another path")
        return 2
    # Click's own complaints about arguments; anything else is a fault of ours and keeps its traceback.
    if not hasattr(err, "format_message"):
        raise err
    message = err.format_message()
    say(message if message.startswith("Usage:") else f"raysearch: {message}")
    return 2


def main() -> NoReturn:
    """Entry point: errors become one line and an exit code."""
    # Loading libraries makes objects by the hundred thousand, which all stay. To look for garbage among them as often
    # as usual takes a tenth of the time until a verb begins.
    gc.set_threshold(200_000)
    # Pydantic looks for plugins in all packages that are installed, which takes as long again.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
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
    # Python looks for garbage once more before it ends. What is frozen is passed over.
    gc.freeze()
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
