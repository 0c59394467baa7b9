"""What is printed: stdout is data, stderr is talk."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysearch.front.document import SearchDocument
    from raysearch.storage.folder import SearchFolder


def print_front(
    document: SearchDocument, folder: SearchFolder | None, as_json: bool, *, markdown: bool = False
) -> None:
    from raysearch.front.table import markdown_table, text_table

    if as_json:
        print_json(document.model_dump(mode="json"))
        return
    print(markdown_table(document) if markdown else text_table(document))
    pictures = [path for kind in ("png", "html") if folder and (path := folder.path / f"front.{kind}").exists()]
    if pictures:
        say("pictures: " + ", ".join(str(path) for path in pictures))


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False, default=str))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def quiet_mlflow() -> None:
    """MLflow talks on stderr about what is as it should be: called before it is imported, this leaves its errors."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
