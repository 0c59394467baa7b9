import pytest
from made_up_trials import search

from raysearch.errors import InputError
from raysearch.front.record import Record, read_record, write_record


def record():
    return Record(
        document=search(30), spec={"name": "s"}, spec_hash="ab", seed=0, versions={"torch": "2"}, git_commit=""
    )


def test_record_read_again_is_the_same_and_its_bytes_too(tmp_path):
    write_record(record(), tmp_path / "one.json.gz")
    assert read_record(tmp_path / "one.json.gz") == record()
    write_record(read_record(tmp_path / "one.json.gz"), tmp_path / "two.json.gz")
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


@pytest.mark.parametrize("left", [0, 10, 200])
def test_torn_record_is_refused_in_one_line(tmp_path, left):
    path = tmp_path / "s.json.gz"
    write_record(record(), path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=r"s\.json\.gz: .+") as refused:
        read_record(path)
    assert "\n" not in str(refused.value)


def test_damaged_record_is_refused_in_one_line(tmp_path):
    path = tmp_path / "s.json.gz"
    write_record(record(), path)
    content = bytearray(path.read_bytes())
    content[60:160] = bytes(byte ^ 0x5A for byte in content[60:160])
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"s\.json\.gz: .+; expected a file written by: raysearch record"):
        read_record(path)


def test_missing_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a file written by: raysearch record"):
        read_record(tmp_path / "s.json.gz")
