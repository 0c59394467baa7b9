"""A Ray cluster as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.api.arguments import Say, place, say, spec_of, storage_or_default, tracking_or_default

if TYPE_CHECKING:
    from raysearch.cluster.doctor import Finding
    from raysearch.spec.document import Spec


def doctor(
    spec: Spec | str | Path | None = None,
    *,
    storage: str | Path | None = None,
    tracking: str | None = None,
    address: str | None = None,
    say: Say = say,
) -> list[Finding]:
    """What every node of a cluster says to whether a search can run there.

    Of a search document, every node is asked to read the corpus. `address` is the cluster's; without one, and without
    `RAY_ADDRESS`, a Ray of its own is started here.
    """
    from raysearch.cluster.connection import connected
    from raysearch.cluster.doctor import examine
    from raysearch.corpora.readers.table import read_corpus
    from raysearch.storage.folder import study_url

    where = place(storage)
    settings = spec_of(spec).corpus if spec is not None else None
    say("doctor: connecting to Ray")
    with connected(address):
        say("doctor: asking every node, for up to a minute and a half")
        return examine(
            where.uri or str(where.root),
            (lambda: read_corpus(settings, where.store.corpora)) if settings else None,
            tracking=tracking_or_default(tracking) or "sqlite:///",
            study=study_url(storage_or_default(storage)),
        )
