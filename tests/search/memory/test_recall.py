"""Where past searches are found, how they are kept for a resume, and the one line about those that are not there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import raysearch
from raysearch.errors import InputError
from raysearch.search.memory.pasts import Past
from raysearch.search.memory.recall import recall
from raysearch.search.reading import read_status
from raysearch.search.searcher import Searcher
from raysearch.search.watching.status import status_lines
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import SearchFolder
from tests.away import SAID, memory_is_away
from tests.search.made_up import DOCUMENT, TEACHER, run, spec_with
from tests.search.memory.made_up_pasts import begun, recorded


def learning(*sources: str, **search: Any) -> Any:
    return spec_with(name="new", search={"trials": 6, "updates": 100, "learn_from": list(sources), **search})


def test_record_folder_name_and_uri_tell_the_same(tmp_path: Path) -> None:
    recorded(tmp_path, name="old")
    file = tmp_path / "old.json.gz"
    sources = [str(file), str(tmp_path / "old"), "old", file.as_uri(), (tmp_path / "old").as_uri()]
    memory = recall(learning(*sources), SearchFolder(tmp_path, "new"))
    assert memory
    found = [(past.name, past.judged_by, past.space, past.tried) for past in memory.pasts]
    assert all(one == found[0] for one in found)
    assert memory.pasts[0].complete == 8
    assert [past.source for past in memory.pasts] == sources


def test_past_is_the_same_after_it_was_packed(tmp_path: Path) -> None:
    past = Past.of(recorded(tmp_path), "old")
    assert Past.unpack(past.packed()) == past
    assert len(past.packed()) < 2000


def test_search_is_resumed_though_the_record_has_gone(tmp_path: Path) -> None:
    recorded(tmp_path, name="old")
    file = tmp_path / "old.json.gz"
    spec = learning(str(file))
    folder, study = begun(tmp_path, spec)
    memory = recall(spec, folder)
    assert memory
    memory.keep(study)
    run(Searcher(spec, study, TEACHER, trials=6, say=lambda _: None, memory=memory), until=4)
    file.unlink()
    with pytest.raises(InputError, match=r"learn_from\[0\]: .*old.json.gz: No such file"):
        recall(spec, folder)
    again = recall(folder.spec(), folder, study)
    assert again
    assert again.pasts == memory.pasts
    said: list[str] = []
    run(Searcher(folder.spec(), study, TEACHER, trials=6, say=said.append, memory=again))
    assert "learns from 1 search: old (8 trials)" in said
    assert sum(one.state == "complete" for one in study.records()) == 6
    (line,) = [one for one in status_lines(read_status(folder), long=True) if one.startswith("learns")]
    assert line.startswith("learns from 1 search: old (tau 0.")
    assert line.endswith(", 8 trials)")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gone.json.gz", "gone.json.gz: No such file or directory; expected a file written by: raysearch record"),
        ("./gone", "gone: no such search; expected its folder, or a file written by: raysearch record"),
        ("gone", "gone: no such search in "),
        ("file:///nowhere/gone.json.gz", "file:///nowhere/gone.json.gz: no such file; expected a file written by"),
        ("torn.json.gz", "torn.json.gz: "),
        ("other.json.gz", "other: it searched training.lr; expected one of student.depth"),
    ],
)
def test_past_that_cannot_be_used_is_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.json.gz").write_bytes(b"\x1f\x8b torn")
    if source.startswith("other"):
        recorded(
            tmp_path,
            name="other",
            space={"training.lr": {"float": [1e-4, 1e-2], "log": True}},
            student={"heads": 4, "depth": 2, "width": 64},
            targets={"clusters": 50},
        )
    document = {**DOCUMENT, "search": {"trials": 4, "updates": 100, "learn_from": [source]}}
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as caught:
        raysearch.search("new.yaml", storage=tmp_path / "searches")
    said = str(caught.value)
    assert said.startswith("search.learn_from[0]: ")
    assert expected in said
    assert "\n" not in said
    assert not (tmp_path / "searches").exists()


def test_record_at_a_uri_that_does_not_answer_is_told_as_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_is_away(monkeypatch)
    with pytest.raises(InputError, match=rf"^search\.learn_from\[0\]: memory://away/old\.json\.gz: .*{SAID}"):
        recall(learning("memory://away/old.json.gz"), SearchFolder(tmp_path, "new"))


def test_paths_are_absolute_and_names_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = learning("old.json.gz", "a/b", "old", "s3://bucket/searches/old")
    assert spec.search.learn_from == [
        str(tmp_path / "old.json.gz"),
        str(tmp_path / "a/b"),
        "old",
        "s3://bucket/searches/old",
    ]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"learn_from": []}, "learn_from"),
        ({"learn_from": [" "]}, "empty; expected a file written by raysearch record"),
        ({"learn_from": ["a"], "sampler": "tpe"}, "learn_from: with sampler tpe; expected sampler ehvi or auto"),
    ],
)
def test_wrong_setting_is_refused_when_the_document_is_read(search: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_spec({**DOCUMENT, "search": search}, where="tiny.yaml")
