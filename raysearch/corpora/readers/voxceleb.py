"""Reads VoxCeleb and whatever comes with lists like its own. A split holds the recordings that its lists name."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.reading import select
from raysearch.corpora.readers.trial_list import pairs_of, read_speaker_lists, read_trial_list, recordings
from raysearch.corpora.settings import VoxCelebSettings
from raysearch.errors import InputError, counted


def read_voxceleb(settings: VoxCelebSettings, cache: Path | None) -> Corpus:
    """The corpus that the lists name. `cache` is a JSON file that keeps verdicts on audio files.

    Raises: InputError naming file and line of a list, or if too much cannot be used or a speaker is in two splits.
    """
    lists = {"dev": settings.dev, "test": settings.test}
    found = {"train": read_speaker_lists(settings.train, "corpus.train", cache)}
    for split, one in lists.items():
        lines = read_trial_list(one, f"corpus.{split}")
        files = {path: path.parts[-3] for line in lines for path in (line.one, line.other)}
        found[split] = recordings(files, cache)
    splits, everything = {}, []
    for split, (cuts, faults) in found.items():
        splits[split], left_out = select(split, cuts, faults, settings)
        everything += left_out
    corpus = Corpus(settings.test.file.resolve().parent.name, splits, tuple(everything))
    _refuse_shared_speakers(corpus)
    return pairs_of(corpus, lists)


def _refuse_shared_speakers(corpus: Corpus) -> None:
    speakers = {split: {cut.supervisions[0].speaker for cut in cuts} for split, cuts in corpus.splits.items()}
    for one, other in combinations(speakers, 2):
        both = sorted(speakers[one] & speakers[other])
        if both:
            raise InputError(
                f"corpus.{other}: {counted(len(both), 'speaker')} in {one} too, first {both[0]}; "
                "expected other speakers"
            )
