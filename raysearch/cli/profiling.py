"""The verb that shows where training time goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import raysearch
from raysearch.cli.options import Json, Set, Storage
from raysearch.cli.output import print_json

if TYPE_CHECKING:
    from raysearch.planning.profile import Profile

BAR = 40
"""Characters of the longest bar."""


def profile(
    document: Path,
    overrides: Set = None,
    updates: Annotated[int, typer.Option(min=1, help="Updates to measure.")] = 20,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the step.")] = 1,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Where the time of a search's training steps goes, and its largest waste."""
    spec = raysearch.load_spec(document, overrides or [])
    found = raysearch.profile(spec, updates=updates, threads=threads, storage=storage)
    if as_json:
        print_json(
            {
                "config": dict(found.config),
                "updates": found.updates,
                "update_s": found.update_s,
                "parts_s": dict(found.parts_s),
                "clustering_s": found.clustering_s,
                "audio_s_per_s": found.audio_s / found.update_s,
                "waste": found.waste,
                "feed_ratio": found.feed_ratio,
            }
        )
        return
    print("\n".join(_lines(found)))


def _lines(found: Profile) -> list[str]:
    largest = max(found.parts_s.values())
    lines = [f"{key} {value}" for key, value in found.config.items()]
    lines = [", ".join(lines), ""]
    for part, seconds in found.parts_s.items():
        bar = "#" * round(BAR * seconds / largest)
        lines.append(f"{part:17} {1000 * seconds:9.1f} ms {seconds / found.update_s:6.1%}  {bar}")
    rate = found.audio_s / found.update_s
    lines.append(f"{'an update':17} {1000 * found.update_s:9.1f} ms          {rate:.0f} s of audio a second")
    if found.clustering_s:
        same = found.clustering_s / found.update_s
        lines.append(f"{'clustering':17} {found.clustering_s:9.1f} s, once a label set: as long as {same:.0f} updates")
    lines.append("")
    lines.append(f"largest waste: {found.waste}, {found.parts_s[found.waste] / found.update_s:.1%} of an update")
    lines.append(f"the data path alone could feed {found.feed_ratio:.1f} times what the model takes")
    return lines
