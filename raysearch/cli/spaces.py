"""The verb that lists the documents that come with raysearch."""

from __future__ import annotations

from dataclasses import asdict

import raysearch
from raysearch.cli.options import Json
from raysearch.cli.output import print_json


def spaces(as_json: Json = False) -> None:
    """Search documents and encoders that come with raysearch, each by the name that `search` or `cost` takes."""
    searches, encoders = raysearch.list_spaces(), raysearch.list_encoders()
    if as_json:
        print_json({"spaces": list(map(asdict, searches)), "encoders": list(map(asdict, encoders))})
        return
    print("search documents, for raysearch search NAME\n")
    for one in searches:
        print(f"  {one.name}: {one.trials} trials of {', '.join(one.methods)} on {one.corpus}\n      {one.purpose}")
    print("\nencoders, for raysearch cost NAME\n")
    for encoder in encoders:
        print(f"  {encoder.name}\n      {encoder.purpose}")
