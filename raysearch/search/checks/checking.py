"""What `raysearch corpus check` says: the report on a corpus, and whether a search with its document takes it."""

from __future__ import annotations

from dataclasses import replace

from raysearch.corpora.audio import CACHE_NAME
from raysearch.corpora.check import Checked, check_corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import CorpusSettings, SeveralSettings
from raysearch.errors import InputError
from raysearch.search.checks.needs import check_judged, check_trained
from raysearch.spec.document import Spec
from raysearch.targets.store import Store


def check_for_search(spec: Spec, store: Store) -> Checked:
    """The report on the document's corpus.

    It counts every fault, however many: the limit is for searches. What a search would refuse is a warning, as another
    limit, teacher or method may take the corpus. What no student can be judged by stands in `refused`.
    Raises: InputError if the corpus cannot be read at all.
    """
    warnings = []
    try:
        corpus = read_corpus(spec.corpus, store.corpora)
    except InputError as err:
        corpus = read_corpus(_lenient(spec.corpus), store.corpora)
        warnings.append(f"a search refuses this corpus: {err}")
    checked = check_corpus(corpus, store.corpora / CACHE_NAME)
    try:
        warnings += check_judged(spec, corpus)
    except InputError as err:
        return replace(checked.warned(warnings), refused=str(err))
    try:
        warnings += check_trained(spec, corpus, store)
    except InputError as err:
        warnings.append(f"a search refuses this document: {err}")
    return checked.warned(dict.fromkeys(warnings))


def _lenient(settings: CorpusSettings) -> CorpusSettings:
    if isinstance(settings, SeveralSettings):
        return settings.model_copy(update={"corpora": [_lenient(one) for one in settings.corpora]})
    return settings.model_copy(update={"max_skipped": 1.0})
