import json

import pytest

from raysearch.errors import InputError
from raysearch.evidence.kept import Packed
from raysearch.files.gzipped import write_gzip
from raysearch.front.document import document
from raysearch.front.front import Front
from raysearch.front.record import Record, read_record, write_record
from raysearch.front.trials import SharedTraining
from tests.front.judged_trials import judged_trial
from tests.front.made_up_trials import search, trial

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


def test_record_keeps_the_errors_of_each_cut(tmp_path):
    trials = [judged_trial(0, 1, [1] * 60 + [0] * 60), judged_trial(1, 2, [1] * 45 + [0] * 75), trial(2, 3, 40)]
    made = document("s", ["macs", "wer"], trials, [9, 100])
    assert "evidence" not in made.model_dump_json()
    evidence = Packed.of({one.number: one.evidence for one in trials})
    write_record(record().model_copy(update={"document": made, "evidence": evidence}), tmp_path / "s.json.gz")
    read = read_record(tmp_path / "s.json.gz").document
    assert [one.evidence for one in read.trials] == [one.evidence for one in trials]
    assert read.trials[0].evidence["eval/wer"].basis is read.trials[1].evidence["eval/wer"].basis
    assert Front.of(read.trials, read.objectives).marks() == made.marks


def test_record_of_an_earlier_version_has_marks_by_intervals(tmp_path):
    old = record().model_dump(mode="json", exclude={"evidence": True, "document": {"marks": True}})
    write_gzip(tmp_path / "s.json.gz", json.dumps(old).encode())
    read = read_record(tmp_path / "s.json.gz").document
    assert read.marks == {}
    assert read.marked() == search(30).marks
    assert {marked.by for marked in read.marked().values()} == {None, "intervals"}


def test_record_keeps_what_trials_share(tmp_path):
    shared = [SharedTraining(method="supernet", digest="ab", seconds=1.5, cpu_seconds=2.5)]
    made = record().model_copy(update={"document": search(30).model_copy(update={"shared": shared})})
    write_record(made, tmp_path / "s.json.gz")
    assert read_record(tmp_path / "s.json.gz").document.shared == shared


@pytest.mark.parametrize("content", NO_RECORDS)
def test_file_that_is_no_record_is_refused_in_one_line(tmp_path, content):
    write_gzip(tmp_path / "s.json.gz", content)
    with pytest.raises(InputError, match=rf"s\.json\.gz: {NO_RECORDS[content]}.+") as refused:
        read_record(tmp_path / "s.json.gz")
    assert "\n" not in str(refused.value)


def test_missing_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a file written by: raysearch record"):
        read_record(tmp_path / "s.json.gz")
