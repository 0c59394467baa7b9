"""Puts together what is kept of a reading for those who look at its errors cut by cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse.cut import MonoCut

from raysearch.evidence.texts import BETWEEN, CutTexts


def cut_texts(
    cuts: Sequence[MonoCut], references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]
) -> CutTexts:
    """What was said and what was read in each cut, as words, phones or fields, and where its recording is."""
    return CutTexts(
        cuts=tuple(cut.id for cut in cuts),
        references=tuple(map(BETWEEN.join, references)),
        hypotheses=tuple(map(BETWEEN.join, hypotheses)),
        recordings=tuple(map(_file, cuts)),
        starts_s=tuple(round(cut.start, 4) for cut in cuts),
        durations_s=tuple(round(cut.duration, 4) for cut in cuts),
    )


def _file(cut: MonoCut) -> str:
    """The file that holds all of the cut's audio; empty if it lies elsewhere, as in memory or in an archive."""
    sources = cut.recording.sources if cut.recording is not None else []
    if len(sources) != 1 or sources[0].type != "file":
        return ""
    return str(Path(sources[0].source).absolute())
