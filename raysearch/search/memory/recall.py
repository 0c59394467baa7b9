"""Finds the past searches that a document names: in records, in folders, at URIs, or in the search's own study.

A search that is resumed finds them in its study, wherever the files have gone since.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

from raysearch.errors import AwayError, InputError
from raysearch.files.gzipped import unpacked
from raysearch.files.remote import Remote
from raysearch.files.secrets import masked
from raysearch.front.record import SUFFIX, Record, read_record
from raysearch.search.memory.memory import Memory
from raysearch.search.memory.pasts import Past
from raysearch.search.reading import record_of
from raysearch.search.study import PASTS, Study
from raysearch.spec.document import Spec
from raysearch.storage.folder import LINKS, SearchFolder


def recall(spec: Spec, here: SearchFolder, study: Study | None = None) -> Memory | None:
    """The memory that a document asks for. Names are of searches that lie where `here` does.

    What the study knows already is not read again.
    Raises: InputError, naming the key, if a past search is not there, or tells nothing of this one.
    """
    if not spec.search.learn_from:
        return None
    known = [Past.unpack(packed) for packed in study.about.get(PASTS, ())] if study else []
    return Memory(spec, _pasts(spec, here, {past.source: past for past in known}))


def _pasts(spec: Spec, here: SearchFolder, known: Mapping[str, Past]) -> list[Past]:
    found = []
    for position, source in enumerate(spec.search.learn_from or ()):
        try:
            found.append(known.get(source) or Past.of(_record(source, here), source))
        except InputError as err:
            raise InputError(f"search.learn_from[{position}]: {err}") from err
    return found


def _record(source: str, here: SearchFolder) -> Record:
    place, _, name = source.rstrip("/").rpartition("/")
    if source.endswith(SUFFIX):
        return _remote_record(place, name) if "://" in source else read_record(Path(source))
    if not place:
        folder = SearchFolder(here.root, name, here.uri)
    elif "://" in source:
        folder = SearchFolder.of(place, name)
    elif (Path(source) / LINKS).exists():
        folder = SearchFolder(Path(place), name)
    else:
        raise InputError(f"{source}: no such search; expected its folder, or a file written by: raysearch record")
    folder.fetch()
    folder.links()
    return record_of(folder)


def _remote_record(place: str, name: str) -> Record:
    where, expected = f"{masked(place)}/{name}", "a file written by: raysearch record"
    try:
        content = Remote(place).read(name)
        if content is not None:
            return Record.checked_json(unpacked(content))
    except (InputError, AwayError, OSError, EOFError, ValueError, zlib.error) as err:
        raise InputError(f"{where}: {err}; expected {expected}") from err
    raise InputError(f"{where}: no such file; expected {expected}")
