"""The one table of readers. It says which function reads which kind of corpus."""

from __future__ import annotations

from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.commonvoice import read_commonvoice
from raysearch.corpora.readers.intents import read_intents, read_slurp
from raysearch.corpora.readers.labelled import join, read_labelled
from raysearch.corpora.readers.librispeech import read_an4, read_librispeech, read_tree
from raysearch.corpora.readers.manifests import read_manifests
from raysearch.corpora.readers.shar import read_shar
from raysearch.corpora.readers.speech_commands import read_speech_commands
from raysearch.corpora.readers.voxceleb import read_voxceleb
from raysearch.corpora.settings import (
    SPLITS,
    An4Settings,
    CommonVoiceSettings,
    CorpusSettings,
    IntentsSettings,
    LabelledSettings,
    LibriSpeechSettings,
    ManifestSettings,
    SeveralSettings,
    SharSettings,
    SlurpSettings,
    SpeechCommandsSettings,
    SyntheticSettings,
    VoxCelebSettings,
)
from raysearch.corpora.synthetic.synthesise import synthesise
from raysearch.files.digest import content_digest


def read_corpus(settings: CorpusSettings, cache: Path) -> Corpus:
    """The corpus that the settings name.

    `cache` is a folder for verdicts on audio files and for synthetic speech. It is made if need be.

    Raises: InputError if a path is missing, or too much of a split cannot be used.
    """
    verdicts = cache / "verdicts.json"
    match settings:
        case An4Settings():
            return read_an4(settings, verdicts)
        case LibriSpeechSettings():
            return read_librispeech(settings, verdicts)
        case VoxCelebSettings():
            return read_voxceleb(settings, verdicts)
        case ManifestSettings():
            return read_manifests(settings, verdicts)
        case SharSettings():
            return read_shar(settings)
        case SyntheticSettings():
            return _read_synthetic(settings, cache, verdicts)
        case LabelledSettings():
            return read_labelled(settings, verdicts)
        case IntentsSettings():
            return read_intents(settings, verdicts)
        case SlurpSettings():
            return read_slurp(settings, verdicts)
        case SpeechCommandsSettings():
            return read_speech_commands(settings, verdicts)
        case CommonVoiceSettings():
            return read_commonvoice(settings, verdicts)
        case SeveralSettings():
            return join([read_labelled(one, verdicts) for one in settings.corpora])


def _read_synthetic(settings: SyntheticSettings, cache: Path, verdicts: Path) -> Corpus:
    recipe = settings.model_dump_json(include={"speakers", "utterances", "words", "seed"})
    folder = cache / f"synthetic-{content_digest(recipe, digits=12)}"
    synthesise(settings, folder)
    phones = {split: folder / "phones" / f"{split}.txt" for split in SPLITS}
    return read_tree("synthetic", folder, {split: [split] for split in SPLITS}, phones, settings, verdicts)
