"""Reads synthetic speech, which is made where it is not there yet."""

from __future__ import annotations

from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.librispeech import read_tree
from raysearch.corpora.settings import SPLITS, SyntheticSettings
from raysearch.corpora.synthetic.synthesise import synthesise
from raysearch.files.digest import content_digest


def read_synthetic(settings: SyntheticSettings, cache: Path) -> Corpus:
    """`cache`: a JSON file that keeps verdicts on audio files; the speech lies in a folder beside it.

    Raises: InputError if there is none and it cannot be made.
    """
    recipe = settings.model_dump_json(include={"speakers", "utterances", "words", "seed"})
    folder = cache.with_name(f"synthetic-{content_digest(recipe, digits=12)}")
    synthesise(settings, folder)
    phones = {split: folder / "phones" / f"{split}.txt" for split in SPLITS}
    return read_tree("synthetic", folder, {split: [split] for split in SPLITS}, phones, settings, cache)
