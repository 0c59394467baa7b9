"""The page of a front in three objectives: any two of them on the axes, and a limit to move for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.front.document import SearchDocument
from raysearch.front.front import is_judged
from raysearch.front.objective import COSTS, header, value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def write_page(document: SearchDocument, figures: Mapping[tuple[str, str], Figure], path: Path) -> None:
    """Writes the page. `figures` has the picture on each pair of axes; the first is shown first."""
    from plotly.offline import get_plotlyjs

    pairs = [
        {
            "label": f"{header(x)} and {header(y)}",
            "keys": [x, y, *(name for name in document.objectives if name not in (x, y))],
            "figure": json.loads(figure.to_json()),
        }
        for (x, y), figure in figures.items()
    ]
    data = json.dumps({"pairs": pairs, "objectives": _ranges(document)})
    # Names of methods and settings come from users: none may end the script that holds them.
    safe = data.replace("</", "<\\/").replace("<!--", "<\\!--")
    title = escape(f"{document.name}: front")
    page = Path(__file__).with_name("limits.html").read_text(encoding="utf-8")
    # The data comes last, since it may hold what looks like one of the other two.
    for mark, text in (("@TITLE@", title), ("@PLOTLY@", get_plotlyjs()), ("@DATA@", safe)):
        page = page.replace(mark, text, 1)
    path.write_text(page, encoding="utf-8")


def _ranges(document: SearchDocument) -> list[dict[str, object]]:
    """The least and the most of each objective among the trials that are drawn."""
    judged = [trial for trial in document.trials if is_judged(trial, document.objectives)]
    return [
        {
            "key": name,
            "title": header(name),
            "low": min(values),
            "high": max(values),
            "logarithmic": name in COSTS,
        }
        for name in document.objectives
        if len(set(values := [value(trial, name) for trial in judged])) > 1
    ]
