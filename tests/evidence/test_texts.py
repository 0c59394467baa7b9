"""What a student read in each cut: kept whole, and missing rather than wrong where the file is damaged."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from raysearch.evidence.texts import FILE, CutTexts, read_texts, write_texts

READ = CutTexts(
    cuts=("a", "b"),
    references=("k a t", ""),
    hypotheses=("k a", "t"),
    recordings=("/speech/a.wav", ""),
    starts_s=(0.0, 1.5),
    durations_s=(1.25, 2.0),
)


def test_file_holds_what_was_put_in(tmp_path: Path) -> None:
    write_texts(tmp_path / FILE, {"eval/per": READ})
    assert read_texts(tmp_path / FILE) == {"eval/per": READ}


@pytest.mark.parametrize("content", [b"", b"no gzip", b'{"eval/per": 1}'])
def test_damaged_file_has_no_texts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_texts(tmp_path / FILE) == {}
    assert read_texts(tmp_path / "missing") == {}


def test_columns_have_one_entry_for_each_cut() -> None:
    with pytest.raises(ValidationError, match="2 cuts; expected one text"):
        CutTexts(**READ.model_dump() | {"references": ("k a t",)})
