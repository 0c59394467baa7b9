"""What a student read in each cut, beside what was said in it: for readers who look at its errors one by one.

No figure is computed from it. Errors are counted elsewhere and kept in a file of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError, model_validator

from raysearch.errors import InputError
from raysearch.files.gzipped import read_gzip, write_gzip
from raysearch.files.whole import whole_file
from raysearch.settings import Outcome

FILE = "texts.json.gz"
"""Name of the file in a trial's folder."""
BETWEEN = "\t"
"""What stands between the words or phones of a text, or between its fields, whose values may hold spaces."""


class CutTexts(Outcome):
    """The texts of the cuts of one split."""

    cuts: tuple[str, ...]
    """Ids of the cuts."""
    references: tuple[str, ...]
    """What was said in each, as words or phones, or as fields such as `action=deactivate`, with tabs between."""
    hypotheses: tuple[str, ...]
    """What the student read in each."""
    recordings: tuple[str, ...]
    """File of each cut's recording; empty if it is not in a file."""
    starts_s: tuple[float, ...]
    """Where each cut begins in its recording."""
    durations_s: tuple[float, ...]
    """Length of each cut."""

    @model_validator(mode="after")
    def _fits(self) -> CutTexts:
        columns = (self.references, self.hypotheses, self.recordings, self.starts_s, self.durations_s)
        if any(len(column) != len(self.cuts) for column in columns):
            raise ValueError(f"{len(self.cuts)} cuts; expected one text, recording and length for each")
        return self


Texts = dict[str, CutTexts]
"""What one student read, by the names of its errors in reports, such as `eval/per` and `test/per`."""
_TEXTS: TypeAdapter[Texts] = TypeAdapter(Texts)


def write_texts(path: Path, texts: Mapping[str, CutTexts]) -> None:
    """Writes the file, in place of what an earlier rung or an earlier run left there."""
    with whole_file(path) as part:
        write_gzip(part, _TEXTS.dump_json(dict(texts)))


def read_texts(path: Path) -> Texts:
    """What the file holds. It is empty if there is none, or if it is damaged: then errors are shown without texts."""
    try:
        return _TEXTS.validate_json(read_gzip(path, "texts cut by cut"))
    except (InputError, ValidationError):
        return {}
