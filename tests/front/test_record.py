import pytest

from raysearch.errors import InputError
from raysearch.files.gzipped import write_gzip
from raysearch.front.record import Record, read_record, write_record
from tests.front.made_up_trials import search

NO_RECORDS = {b"": "no JSON", b"[]": "list; expected a mapping", b'{"seed": 0}': "document: missing"}


def record():
    return Record(
        document=search(30), spec={"name": "s"}, spec_hash="ab", seed=0, versions={"torch": "2"}, git_commit=""
    )


def test_record_read_again_is_the_same_and_its_bytes_too(tmp_path):
    write_record(record(), tmp_path / "one.json.gz")
    assert read_record(tmp_path / "one.json.gz") == record()
    write_record(read_record(tmp_path / "one.json.gz"), tmp_path / "two.json.gz")
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


@pytest.mark.parametrize("content", NO_RECORDS)
def test_file_that_is_no_record_is_refused_in_one_line(tmp_path, content):
    write_gzip(tmp_path / "s.json.gz", content)
    with pytest.raises(InputError, match=rf"s\.json\.gz: {NO_RECORDS[content]}.+") as refused:
        read_record(tmp_path / "s.json.gz")
    assert "\n" not in str(refused.value)


def test_missing_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a file written by: raysearch record"):
        read_record(tmp_path / "s.json.gz")
