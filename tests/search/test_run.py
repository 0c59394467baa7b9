"""A used name: what the second search with it is told. The reference point of a space with impossible corners."""

import json
import socket
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest

from raysearch.cluster.resources import largest_node
from raysearch.encoder.cost import macs_superb
from raysearch.errors import AwayError, InputError, WorkError
from raysearch.search.costs import Costs, reference_point
from raysearch.search.reading import read_status
from raysearch.search.run import checked_corpus, claim, resume_search, start_search
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.lease import Lease
from raysearch.storage.removal import remove
from raysearch.storage.replica import DRIVER, Replica
from raysearch.storage.studies import TOKEN, open_storage
from tests.corpora.made_up_corpora import corpus, cut
from tests.search.made_up import ABOUT, DOCUMENT, TEACHER, spec_with


def start_again(folder: SearchFolder, spec: Spec) -> str:
    with pytest.raises(InputError) as refused:
        start_search(spec, folder, study_url="", tracking="", address=None, say=lambda _: None)
    return str(refused.value)


LINKS = Links(study="", tracking="")
# The package has a function `search`, which hides the room from a dotted name.
run_file = import_module("raysearch.search.run")


@pytest.fixture
def prepared(tmp_path: Path) -> SearchFolder:
    """What a start leaves that failed before its study was made."""
    folder = SearchFolder(tmp_path, "tiny")
    assert folder.create(spec_with(), LINKS)
    return folder


@pytest.fixture
def used(prepared: SearchFolder) -> SearchFolder:
    Study.create(prepared.study_storage(), "tiny", ["macs", "per"], {})
    return prepared


def test_used_name_with_the_same_document_gives_the_resume_command(used: SearchFolder) -> None:
    said = start_again(used, spec_with())
    assert said.endswith(f"expected a new name, or: raysearch resume tiny --storage {used.root}")


def test_used_name_with_a_changed_document_says_what_changed(used: SearchFolder) -> None:
    space = {**DOCUMENT["space"], "student.depth": {"int": [1, 4]}}
    said = start_again(used, spec_with(space=space, search={**DOCUMENT["search"], "updates": 200}))
    assert "(space.student.depth.int: [1, 6] -> [1, 4], search.updates: 100 -> 200)" in said
    assert "resume" not in said


def test_used_name_with_more_trials_gives_the_command_that_extends(used: SearchFolder) -> None:
    said = start_again(used, spec_with(search={**DOCUMENT["search"], "trials": 9}))
    resume = f"raysearch resume tiny --storage {used.root} --trials 9"
    assert said.endswith(f"(search.trials: 6 -> 9); expected a new name, or: {resume}")


def test_two_that_create_one_folder_get_it_once(prepared: SearchFolder) -> None:
    before = prepared.spec()
    assert not prepared.create(spec_with(search={"trials": 9}), LINKS)
    assert prepared.spec() == before
    assert sorted(path.name for path in prepared.path.iterdir()) == ["search.json", "spec.yaml"]
    # It may hold passwords.
    assert (prepared.path / "search.json").stat().st_mode & 0o777 == 0o600


def test_name_of_a_search_that_never_began_is_free(prepared: SearchFolder) -> None:
    corrected = spec_with(search={"trials": 9})
    assert claim(corrected, prepared, LINKS)
    assert prepared.spec() == corrected


def test_name_of_a_search_that_is_being_prepared_is_not(prepared: SearchFolder) -> None:
    Lease.take(open_storage(prepared.study_storage()), "tiny")
    with pytest.raises(InputError, match="driven by pid"):
        claim(spec_with(search={"trials": 9}), prepared, LINKS)
    assert prepared.spec() == spec_with()


def test_name_of_a_search_that_began_is_used(used: SearchFolder) -> None:
    assert not claim(spec_with(search={"trials": 9}), used, LINKS)


def test_name_that_a_search_of_another_folder_has_in_the_database_is_refused(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    study = Study.create(database, "tiny", ["macs", "per"], {})
    with pytest.raises(InputError, match="tiny: already used in the database of the study"):
        start_search(
            spec_with(), SearchFolder(tmp_path, "tiny"), study_url=database, tracking="", address=None, say=print
        )
    assert study.records() == []
    assert not (tmp_path / "tiny").exists()


def test_search_whose_cluster_does_not_answer_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_file, "checked_corpus", lambda spec, folder, say: pytest.fail("it would take minutes"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(InputError, match=f"^--address: {address}: .*refused"):
        start_search(spec_with(), SearchFolder(tmp_path, "tiny"), study_url="", tracking="", address=address, say=print)
    assert not (tmp_path / "tiny").exists()


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchFolder:
    """A search at a URI, whose study is to be made in a database. Its corpus is not read."""
    monkeypatch.setattr(run_file, "checked_corpus", lambda spec, folder, say: None)
    folder = SearchFolder(tmp_path / "copy", "tiny", f"memory://{uuid4().hex}")
    assert folder.create(spec_with(), Links(study=f"sqlite:///{tmp_path / 'studies.db'}", tracking=""))
    return folder


def test_second_driver_that_the_lease_refuses_leaves_the_name_of_the_first(far: SearchFolder) -> None:
    """The first was silent at the URI for long, but not in the database."""
    Lease.take(open_storage(far.study_storage()), "tiny")
    first = json.dumps({"token": "first", "beat_s": 0.0, "who": "the first"}).encode()
    far.remote.write(DRIVER, first)
    with pytest.raises(InputError, match="driven by pid"):
        resume_search(far, trials=None, address=None, say=print)
    assert far.remote.read(DRIVER) == first


def test_driver_whose_database_is_away_at_its_start_refuses_nobody_later(
    far: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: object) -> None:
        raise AwayError("the study's database is away")

    monkeypatch.setattr(Lease, "take", away)
    with pytest.raises(WorkError, match="is away; once it answers: raysearch resume tiny"):
        resume_search(far, trials=None, address=None, say=print)
    Replica(far).refuse()


def test_driver_that_cannot_give_back_its_lease_signs_off_at_the_uri(
    far: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(run_file, "connected", fails)
    monkeypatch.setattr(Lease, "release", fails)
    with pytest.raises(RuntimeError, match="no more"):
        resume_search(far, trials=None, address=None, say=print)
    assert far.remote.read(DRIVER) == b"{}"


def test_teacher_that_is_not_there_is_said_before_the_corpus_is_read(tmp_path: Path) -> None:
    gone = tmp_path / "nowhere"
    spec = spec_with(teacher={"source": f"hf:{gone}"}, corpus={"kind": "an4", "root": str(tmp_path / "no corpus")})
    with pytest.raises(InputError, match=r"^teacher\.source: 'hf:.*: not there; expected a folder"):
        start_search(spec, SearchFolder(tmp_path, "tiny"), study_url="", tracking="", address=None, say=print)
    assert not (tmp_path / "tiny").exists()


def test_search_that_lost_its_name_in_the_database_takes_no_other_for_its_own(tmp_path: Path) -> None:
    """The first was interrupted before it had a study, and the second has made one meanwhile."""
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    first, second = (SearchFolder(tmp_path / place, "tiny") for place in ("a", "b"))
    for folder in (first, second):
        folder.create(spec_with(), Links(study=database, tracking=""))
    Study.create(database, "tiny", ["macs", "per"], {TOKEN: second.links().token, **ABOUT})
    said = f"^tiny: already used in the database of the study, by a search whose folder is not {first.path}; "
    with pytest.raises(InputError, match=said):
        resume_search(first, trials=None, address=None, say=print)
    with pytest.raises(InputError, match=said):
        read_status(first)
    assert read_status(second)["asked"] == 6
    remove(first)
    assert not first.path.exists()
    assert Study.of(second).objectives == ["macs", "per"]


def test_reference_point_of_a_space_with_impossible_corners_then_from_the_rest() -> None:
    space = {"pruning.macs_ratio": {"float": [0.01, 0.9]}}
    spec = spec_with(method="hjpruning", student={}, space=space)
    (macs_g, per) = reference_point(spec, Costs(spec, TEACHER))
    assert macs_g == pytest.approx(1.05 * 0.9 * macs_superb(TEACHER) / 1e9, rel=0.03)
    assert per == 100


@pytest.mark.parametrize("clusters", ["500.0", 500, 500.0])
def test_more_clusters_than_frames_are_refused_however_they_are_written(
    clusters: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"student.depth": {"int": [1, 6]}, "student.width": {"choice": [64, 128]}}
    spec = spec_with(space=space, targets={"clusters": clusters})
    assert spec.settings({"method": "dicehubert", "student.depth": 1, "student.width": 64}).targets.clusters == 500
    spoken = corpus([cut("a", seconds=19.0, text="GO", speaker="x", phones=["G"])])
    monkeypatch.setattr(run_file, "read_corpus", lambda settings, cache: spoken)
    with pytest.raises(InputError, match=f"^targets.clusters: {clusters}; expected at most 475, the frames"):
        checked_corpus(spec, SearchFolder(tmp_path, "tiny"), print)


def test_teacher_asks_for_no_more_than_one_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 16.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    assert largest_node(use_gpu=False) == 16
    assert largest_node(use_gpu=True) == 4
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"node:__internal_head__": 1.0}}])
    assert largest_node(use_gpu=False) == 0
