"""Writes the tables and pictures of RESULTS.md and docs/results/ anew, from the files beside this one.

    python results/write.py

Nothing is trained. Between `<!-- COMMAND -->` and `<!-- end -->` of a page stands what the command prints when it is
run in the root of the repository. A command is one of

    raysearch VERB ...                 reads searches that `raysearch record NAME -o results/NAME.json.gz` has kept
    rows FILE KEY KEY ...              makes a table of these keys from a document that `make bench` has kept
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.front.table import Column, markdown, setting_text

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "RESULTS.md", *sorted((ROOT / "docs/results").glob("*.md"))]
BLOCK = re.compile(r"(<!-- ((?:raysearch|rows) [^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(text: str) -> str:
    """The text with every block as its command prints it now. Paths in commands begin at the working directory."""
    return BLOCK.sub(lambda found: found[1] + printed(found[2]).rstrip("\n") + "\n" + found[3], text)


def printed(command: str) -> str:
    """What a command prints, as Markdown."""
    verb, *words = shlex.split(command)
    if verb == "rows":
        path, *keys = words
        return "\n".join(rows(json.loads(Path(path).read_text()), keys))
    # A page is no terminal: tables keep all their columns, however wide the one is from which this runs.
    result = CliRunner(env={"COLUMNS": ""}).invoke(app, words)
    if result.exit_code:
        raise SystemExit(f"{command}: {result.exception}")
    if "--markdown" in words:
        return result.stdout
    return "\n".join(f"    {line}".rstrip() for line in result.stdout.splitlines())


def rows(document: dict[str, Any], keys: list[str]) -> list[str]:
    """The one list of rows in a benchmark's document, as a Markdown table."""
    found = next(value for value in document["result"].values() if isinstance(value, list))
    return markdown([Column(key, [_cell(row.get(key)) for row in found]) for key in keys])


def _cell(value: Any) -> str:
    return " - ".join(map(setting_text, value)) if isinstance(value, list) else setting_text(value)


def main() -> None:
    for page in PAGES:
        page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()
