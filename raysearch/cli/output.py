"""What is printed: stdout is data, stderr is talk."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import say

if TYPE_CHECKING:
    from raysearch.api.search import Search
    from raysearch.front.beside import Beside


def line_width(*, wide: bool) -> int | None:
    """Characters that a line of a table may have: those of the terminal, or `COLUMNS`; None in a file or a pipe."""
    if wide or not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return None
    return shutil.get_terminal_size().columns


def print_front(
    found: Search,
    as_json: bool,
    *,
    markdown: bool = False,
    every: bool = False,
    wide: bool = False,
    published: Beside | None = None,
) -> None:
    from raysearch.front.table import markdown_table, text_table

    document = found.document
    if as_json:
        beside = {"published": published.model_dump(mode="json")} if published else {}
        print_json(document.model_dump(mode="json") | beside)
        return
    width = None if markdown else line_width(wide=wide)
    print(markdown_table(document, every=every) if markdown else text_table(document, every=every, width=width))
    if published and published.points:
        from raysearch.front.beside import beside_table

        print()
        print(beside_table(published, document.objectives, width=width, as_markdown=markdown))
    if pictures := found.pictures:
        say("pictures: " + ", ".join(map(str, pictures)))


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False, default=str))


def quiet_blas() -> None:
    """NumPy's library of matrices starts a thread a core, each of which spins for a while: verbs that read need none.

    It must be called before NumPy is imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def quiet_mlflow() -> None:
    """MLflow talks on stderr about what is as it should be, and writes a traceback of each error that it raises.

    This must be called before it is imported.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
