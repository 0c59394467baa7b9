"""Whether transcripts fit into the frames of their recordings, without which CTC can learn and read nothing.

Source: Graves et al., ICML 2006, for the frames that a transcript needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.frames import frames
from raysearch.errors import InputError
from raysearch.tasks.ctc.tokens import Unit, frames_needed, is_labelled, spelled


def check_fit(where: str, corpus: Corpus, unit: Unit, encoders: Sequence[AnyConfig]) -> list[str]:
    """A line if some transcripts have more symbols than frames in one of the encoders. `where` begins messages.

    Raises: InputError if that is so of all that could be trained on, in every encoder.
    """
    spoken = {
        split: [Spoken(cut, frames_needed(spelled(cut, unit))) for cut in cuts if is_labelled(cut, unit)]
        for split, cuts in corpus.splits.items()
    }
    total = sum(one.needed > 0 for own in spoken.values() for one in own)
    found: list[tuple[int, bool, str]] = []
    for encoder in encoders:
        crowded = {split: [one for one in own if one.lacks(encoder)] for split, own in spoken.items()}
        if every := [one for own in crowded.values() for one in own]:
            none_fits = len(crowded["train"]) == len(spoken["train"])
            found.append((len(every), none_fits, _line(where, unit, encoder, every, total)))
    if not found:
        return []
    # The encoder with the fewest frames says most.
    _, _, line = max(found)
    if len(found) == len(encoders) and all(none_fits for _, none_fits, _ in found):
        raise InputError(f"{line}; expected recordings and transcripts that belong together")
    return [line]


class Spoken(NamedTuple):
    """A cut with a transcript."""

    cut: MonoCut
    needed: int
    """The fewest frames that the transcript fits into."""

    def lacks(self, encoder: AnyConfig) -> bool:
        """Whether an encoder makes fewer frames of the cut."""
        return frames(encoder, self.cut.num_samples) < self.needed


def _line(where: str, unit: Unit, encoder: AnyConfig, crowded: list[Spoken], total: int) -> str:
    cut, needed = crowded[0]
    symbols = "characters and marks" if unit == "slots" else unit
    return (
        f"{where}: {len(crowded):,} of {total:,} transcripts have more {symbols} than frames "
        f"({encoder.frame_hz:g} Hz), first {cut.id}: {needed} in {frames(encoder, cut.num_samples)}"
    )
