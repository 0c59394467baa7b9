"""The one table of readers: kind of corpus -> where the function that reads it lives, imported on use."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from raysearch.corpora.audio import CACHE_NAME
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.settings import CorpusSettings

READERS = {
    "an4": "raysearch.corpora.readers.librispeech:read_an4",
    "librispeech": "raysearch.corpora.readers.librispeech:read_librispeech",
    "voxceleb": "raysearch.corpora.readers.voxceleb:read_voxceleb",
    "slurp": "raysearch.corpora.readers.intents:read_slurp",
    "speech-commands": "raysearch.corpora.readers.speech_commands:read_speech_commands",
    "speech-commands-12": "raysearch.corpora.readers.speech_commands:read_twelve_commands",
    "audio-snips": "raysearch.corpora.readers.audio_snips:read_audio_snips",
    "commonvoice": "raysearch.corpora.readers.commonvoice:read_commonvoice",
    "labelled": "raysearch.corpora.readers.labelled:read_labelled",
    "intents": "raysearch.corpora.readers.intents:read_intents",
    "manifest": "raysearch.corpora.readers.manifests:read_manifests",
    "shar": "raysearch.corpora.readers.shar:read_shar",
    "synthetic": "raysearch.corpora.readers.synthetic:read_synthetic",
    "several": "raysearch.corpora.readers.labelled:read_several",
}


def read_corpus(settings: CorpusSettings, cache: Path) -> Corpus:
    """The corpus that the settings name.

    `cache` is a folder for verdicts on audio files and for synthetic speech. It is made if need be.

    Raises: InputError if a path is missing, or too much of a split cannot be used.
    """
    module, name = READERS[settings.kind].split(":")
    corpus: Corpus = getattr(import_module(module), name)(settings, cache / CACHE_NAME)
    return corpus
