"""Corpora: checked, brought into one form, or made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import choices, place, spec_of

if TYPE_CHECKING:
    from raysearch.corpora.check import Checked
    from raysearch.spec.document import Spec
    from raysearch.spec.overrides import Overrides


def check_corpus(spec: Spec | str | Path, *, storage: str | Path | None = None) -> Checked:
    """Hours, speakers and faults of a search document's corpus, and whether a search with the document takes it.

    Raises: InputError if the corpus is not there.
    """
    from raysearch.search.checks.checking import check_for_search

    return check_for_search(spec_of(spec), place(storage).store)


def prepare_corpus(kind: str, root: str | Path, out: str | Path, overrides: Overrides = ()) -> Checked | None:
    """Checks a corpus and writes its manifests to a folder; None if that was done before.

    `kind` is one of `librispeech`, `voxceleb`, `commonvoice` and others, `root` the folder as the corpus's archives
    unpack, and `overrides` are keys of its settings.
    Raises: InputError if the corpus cannot be read, or the folder holds another one.
    """
    from raysearch.corpora.prepare import KINDS, corpus_settings, prepare
    from raysearch.spec.overrides import override

    choices("KIND", kind, KINDS)
    changes: dict[str, Any] = {}
    override(changes, overrides)
    return prepare(corpus_settings(kind, Path(root), changes), Path(out))


def synthesise_corpus(out: str | Path, *, utterances: int = 600, seed: int = 0) -> None:
    """Writes a synthetic corpus with several speakers, transcripts and phones, laid out as LibriSpeech is.

    `utterances` are sentences to train on, of about two seconds each; 80 more are dev and 80 are test.
    Raises: InputError if espeak-ng is not installed.
    """
    from raysearch.corpora.settings import SplitCounts, SyntheticSettings
    from raysearch.corpora.synthetic.synthesise import synthesise

    counts = SplitCounts(train=utterances, dev=80, test=80)
    synthesise(SyntheticSettings(utterances=counts, seed=seed), Path(out))
