"""What is thrown away, and what never is: front, running trials, students, label sets in use."""

import errno
import os
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import optuna
import pytest

from raysearch.front.trials import Cost
from raysearch.search.reading import ended_off_front
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.garbage import find_garbage, remove_garbage
from raysearch.targets.label_set import LabelKey, write_label_set
from tests.away import SAID, memory_is_away
from tests.search.made_up import spec_with

# MACs, error, state: 0 and 2 are the front, 1 is dominated, 3 was stopped, 4 failed, 5 runs.
TRIALS = [(10, 50.0, "complete"), (30, 60.0, "complete"), (40, 20.0, "complete"), (35, 70.0, "stopped")]
TRIALS += [(50, 90.0, "failed"), (60, 90.0, None)]
OFF_THE_FRONT = {1, 3, 4}
DAY_S = 86_400.0
in_a_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)


@pytest.fixture(params=["folder", "uri"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchFolder:
    """Of one search with a label set, made by another node if it lies at a URI."""
    uri = f"memory://{uuid4().hex}" if request.param == "uri" else ""
    folder = SearchFolder(tmp_path / "one", "tiny", uri)
    spec = spec_with()
    folder.create(spec, Links(study="", tracking=""))
    teacher = {"cost": {"macs_g": 100.0, "params_m": 1.0}, "metrics": {}}
    about = {"reference_point": [100.0, 100.0], "teacher": teacher}
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, about)
    sampler, error = optuna.samplers.RandomSampler(0), spec.objectives[1]
    for macs_g, measured, state in TRIALS:
        number, _ = study.ask(spec.search_space, sampler)
        study.set_cost(number, Cost(macs_g=macs_g, params_m=1.0))
        study.report(number, 10, {f"eval/{error}": measured})
        if state:
            study.end(number, state)
        for name in ("checkpoints/000000010/tensors.safetensors", "student/model.safetensors"):
            file = folder.trial(number) / name
            file.parent.mkdir(parents=True)
            file.write_bytes(b"x" * 100)
        if remote := folder.remote:
            remote.push(folder.trial(number), f"trials/{number:04d}")
    key = LabelKey(source="mfcc", teacher="", layer=0, clusters=4, seed=0, fit_frames=100, corpus="cd34")
    labels = {"a": np.array([3, 1], np.int16)}
    folder.store.label_sets.get_or_build(key, lambda path: write_label_set(path, key, 160, labels, {}))
    if remote := folder.remote:
        remote.write("study.journal", (folder.path / "study.journal").read_bytes())
    return SearchFolder(tmp_path / ("two" if uri else "one"), "", uri)


def files_left(place: SearchFolder, tmp_path: Path) -> set[str]:
    if place.uri:
        from raysearch.files.remote import Remote

        return set(Remote(place.uri).files("tiny/trials"))
    folder = place.root / "tiny" / "trials"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_resume_states_go_off_the_front_alone(place: SearchFolder, tmp_path: Path) -> None:
    garbage = find_garbage(place, before_s=0.0, ended=ended_off_front)
    assert garbage.checkpoints == {("tiny", number): 100 for number in OFF_THE_FRONT}
    assert (garbage.stored["label_sets"], garbage.bytes) == ({}, 300)
    before = files_left(place, tmp_path)
    remove_garbage(place, garbage)
    gone = before - files_left(place, tmp_path)
    assert gone == {f"{number:04d}/checkpoints/000000010/tensors.safetensors" for number in OFF_THE_FRONT}
    assert find_garbage(place, before_s=0.0, ended=ended_off_front).bytes == 0


def test_label_set_goes_when_nothing_asked_for_it_in_long(place: SearchFolder) -> None:
    (label_set,) = place.store.label_sets.ls()
    used_s = max(place.store.label_sets.folders.used_s().values())
    assert find_garbage(place, before_s=used_s - DAY_S, ended=ended_off_front).stored["label_sets"] == {}
    garbage = find_garbage(place, before_s=used_s + DAY_S, ended=ended_off_front)
    assert list(garbage.stored["label_sets"]) == [label_set.key.digest]
    remove_garbage(place, garbage)
    assert place.store.label_sets.ls() == []


def test_label_set_that_is_asked_for_is_of_use_again(tmp_path: Path) -> None:
    store = SearchFolder(tmp_path, "").store.teachers
    store.get_or_build("ab", lambda path: (path / "content").touch())
    os.utime(tmp_path / "_store/teachers/ab/complete", (1.0, 1.0))
    store.get_or_build("ab", lambda path: None)
    assert store.used_s()["ab"] > 1.0


@pytest.mark.parametrize("kind", ["pseudo_labels", "mels", "features", "heads", "trainings"])
def test_what_can_be_made_again_goes_as_label_sets_do(place: SearchFolder, kind: str) -> None:
    store = getattr(place.store, kind)
    store.get_or_build("abc", lambda path: (path / "content").write_bytes(b"12345"))
    used_s = max(store.used_s().values())
    assert find_garbage(place, before_s=used_s - DAY_S, ended=ended_off_front).stored[kind] == {}
    garbage = find_garbage(place, before_s=used_s + DAY_S, ended=ended_off_front)
    assert garbage.stored[kind] == {"abc": store.size("abc")}
    assert garbage.bytes >= store.size("abc")
    remove_garbage(place, garbage)
    assert store.ls() == []


@in_a_folder
def test_damaged_searches_are_named_and_keep_what_they_have(place: SearchFolder) -> None:
    for name, file in (("cut", "search.json"), ("odd", "study.journal")):
        shutil.copytree(place.root / "tiny", place.root / name)
        (place.root / name / file).write_text('{"study":\n{}\n')
    garbage = find_garbage(place, before_s=0.0, ended=ended_off_front)
    assert garbage.checkpoints == {("tiny", number): 100 for number in OFF_THE_FRONT}
    assert garbage.unread["cut"].startswith(f"{place.root}/cut/search.json: damaged; expected the addresses")
    assert garbage.unread["odd"].startswith(f"{place.root}/odd/study.journal: damaged (")


@in_a_folder
def test_what_may_not_be_removed_is_named_and_not_counted(place: SearchFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shutil.rmtree

    def refuse_one(path: Path) -> None:
        if "0003" in str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        plain(path)

    monkeypatch.setattr("raysearch.storage.garbage.shutil.rmtree", refuse_one)
    gone = remove_garbage(place, find_garbage(place, before_s=0.0, ended=ended_off_front))
    assert gone.checkpoints == {("tiny", 1): 100, ("tiny", 4): 100}
    assert gone.stuck == {str(place.root / "tiny/trials/0003/checkpoints"): "Read-only file system"}


@pytest.mark.parametrize("place", ["uri"], indirect=True)
def test_store_that_goes_away_meanwhile_is_named_for_each(place: SearchFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_garbage(place, before_s=0.0, ended=ended_off_front)
    memory_is_away(monkeypatch)
    gone = remove_garbage(place, found)
    assert gone.bytes == 0
    assert all(SAID in why for why in gone.stuck.values())
