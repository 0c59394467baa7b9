"""Documents of searches as a failing disk, another program or an attacker leaves them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.front.made_up_trials import search

ODD: list[Any] = [None, True, "", "x", "NaN", [], {}, [1], {"a": 1}, 0, -1, 10**30, 10**400, 0.0, -0.0, -5.5]
ODD += [1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), "\ud800", "\x00", "complete", "macs"]
odd = st.sampled_from(ODD)


@st.composite
def damaged_documents(draw: st.DrawFn) -> str:
    """A document in JSON of which one to three places hold something odd, are gone, or are there twice."""
    document = json.loads(search(draw(st.integers(0, 5))).model_dump_json())
    for _ in range(draw(st.integers(1, 3))):
        holder, key = _place(draw, document)
        match draw(st.sampled_from(["odd", "odd", "odd", "gone", "twice"])):
            case "odd":
                holder[key] = draw(odd)
            case "gone":
                del holder[key]
            case "twice" if isinstance(holder, list):
                holder.append(holder[key])
    return json.dumps(document)


def _place(draw: st.DrawFn, document: Any) -> tuple[Any, Any]:
    """A place somewhere in the document: what holds it, and its key or number there."""
    holder: Any = document
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = draw(st.sampled_from(list(keys)))
        if not holder[key] or not isinstance(holder[key], dict | list) or draw(st.integers(0, 4)) == 0:
            return holder, key
        holder = holder[key]
