"""Text files and tables as Windows, Excel and Macs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.files.text import read_table, read_text


def test_latin_1_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("déjà vu".encode("latin-1"))
    with pytest.raises(InputError, match=r"^corpus.root: .*list.txt: not UTF-8; expected a list$"):
        read_text(path, "corpus.root", "a list")


def test_table_with_a_mark_and_empty_cells_too_many_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfpath,label\r\na.wav,yes,,\r\n\r\nb.wav\r\n")
    rows = list(read_table(path, "corpus.table", ("path", "label")))
    assert rows == [(2, {"path": "a.wav", "label": "yes"}, None), (4, {"path": "b.wav", "label": ""}, None)]


@pytest.mark.parametrize("delimiter", ";\t")
def test_table_that_excel_saved_for_a_land_with_decimal_commas_is_read(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path;label\na,1.wav;go\n".replace(";", delimiter))
    assert list(read_table(tmp_path / "a.csv", "k", ["path", "label"])) == [
        (2, {"path": "a,1.wav", "label": "go"}, None)
    ]


def test_tab_too_many_is_a_fault_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("path\tsentence\na.mp3\tGO\tSTOP\n")
    ((_, _, fault),) = read_table(path, "corpus.root", ("path", "sentence"), "\t", quoted=False)
    assert fault == "line 2: 3 cells; expected 2"
