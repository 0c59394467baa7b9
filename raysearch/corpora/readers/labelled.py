"""Reads recordings of one class each, listed in a table or by their folders, and joins several such corpora."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import MonoCut
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.listed import Row, check_split, read_rows, refuse_unknown, values_of
from raysearch.corpora.readers.text import is_recording
from raysearch.corpora.readers.trial_list import cut_id, read_speakers
from raysearch.corpora.settings import SPLITS, LabelledSettings, ReadingSettings, SeveralSettings
from raysearch.errors import InputError
from raysearch.files.text import read_table

_COLUMNS = ("path", "label", "split")


def read_labelled(settings: LabelledSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`. A cut's id is its path without suffix, and its class is `custom.label`.

    Recordings that `settings.more` lists join the training split without a class. `cache` is a JSON file that keeps
    verdicts on audio files.

    Raises: InputError if a folder, table or column is missing, a recording is in two splits, a label of dev or test
    is not in train, train has only one label, or too much cannot be used.
    """
    root = settings.root.resolve()
    if not root.is_dir():
        raise InputError(f"corpus.root: {root}: no such folder; expected one of labelled recordings")
    table = settings.table or root / "manifest.csv"
    rows = list(_table(root, table) if settings.table or table.is_file() else _folders(root))
    more = read_speakers(settings.more, "corpus.more")
    rows += [Row(cut_id(path), path, "train", speaker) for path, speaker in more.items()]
    return labelled_corpus(root.name, rows, settings, cache)


def labelled_corpus(name: str, rows: Sequence[Row], settings: ReadingSettings, cache: Path | None) -> Corpus:
    """The corpus of these rows. Those of dev and test have a label, those of train may lack one.

    Raises: InputError as `read_labelled`, except for folders and tables.
    """
    corpus = read_rows(name, rows, settings, cache)
    refuse_unknown(corpus, "label")
    labels = set(values_of(corpus.splits["train"], "label"))
    if len(labels) < 2:
        found = f"one label, {min(labels)!r}" if labels else "no label"
        raise InputError(f"corpus {name}: train has {found}; expected at least two")
    return corpus


def read_several(settings: SeveralSettings, cache: Path | None) -> Corpus:
    """All the corpora joined. `cache`: a JSON file that keeps verdicts on audio files.

    Raises: InputError if two have one name, or as `read_labelled` does.
    """
    return join([read_labelled(one, cache) for one in settings.corpora])


def join(corpora: Sequence[Corpus]) -> Corpus:
    """One corpus made of several. Ids of cuts begin with the name of their own corpus, which is also `custom.corpus`.

    Raises: InputError if two corpora have the same name.
    """
    names = [corpus.name for corpus in corpora]
    if len(set(names)) < len(names):
        raise InputError(f"corpus.corpora: folders named {', '.join(names)}; expected different names")
    splits = {
        split: CutSet.from_cuts(_owned(cut, corpus.name) for corpus in corpora for cut in corpus.splits[split])
        for split in SPLITS
    }
    faults = tuple(Fault(f"{corpus.name}/{fault.cut}", fault.reason) for corpus in corpora for fault in corpus.faults)
    return Corpus("+".join(names), splits, faults)


def _owned(cut: MonoCut, name: str) -> MonoCut:
    (supervision,) = cut.supervisions
    supervision = fastcopy(supervision, custom={**supervision.custom, "corpus": name})
    return fastcopy(cut, id=f"{name}/{cut.id}", supervisions=[supervision])


def _table(root: Path, table: Path) -> Iterator[Row]:
    for number, row, fault in read_table(table, "corpus.table", _COLUMNS):
        where = f"corpus.table: {table}"
        if fault:
            raise InputError(f"{where}: {fault}")
        where = f"{where}: line {number}"
        path, label = row["path"].strip(), row["label"].strip()
        if not path or not label:
            raise InputError(f"{where}: {row}; expected a path and a label")
        yield _row(root, Path(path), label, check_split(row["split"].strip(), where), row.get("speaker"))


def _folders(root: Path) -> Iterator[Row]:
    for split in SPLITS:
        if not (root / split).is_dir():
            raise InputError(
                f"corpus.root: {root}: neither manifest.csv nor folder {split}; "
                "expected a table of splits, or <split>/<label>/<utterance>.flac"
            )
        for path in sorted((root / split).glob("*/*")):
            if is_recording(path):
                yield _row(root, path.relative_to(root), path.parent.name, split, None)


def _row(root: Path, path: Path, label: str, split: str, speaker: str | None) -> Row:
    return Row(path.with_suffix("").as_posix(), root / path, split, speaker, custom={"label": label})
