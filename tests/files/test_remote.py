"""Folders behind URIs: S3 on a local stand-in, fsspec's memory, and files."""

import errno
import gzip
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest

from raysearch.errors import AwayError, InputError
from raysearch.files.remote import Remote, is_remote
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec
from raysearch.storage import replica as replica_file
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.replica import Replica
from raysearch.targets.store import FolderStore, Store
from tests.away import SAID, memory_is_away
from tests.s3 import ACCOUNT, s3_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket() as uri:
        yield uri


@pytest.fixture(params=["s3", "memory", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{uuid4().hex}"
    return f"memory://{uuid4().hex}" if request.param == "memory" else f"file://{tmp_path / 'far'}"


@pytest.fixture
def spec() -> Spec:
    document = {
        "name": "far",
        "corpus": {"kind": "synthetic"},
        "teacher": {"source": "train"},
        "task": {"kind": "phonemes"},
        "method": "dicehubert",
    }
    return parse_spec(document, where="far.yaml")


def fill(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_folder_there_and_back_is_the_same(uri: str, tmp_path: Path) -> None:
    remote = Remote(uri)
    assert remote.read("a/b") is None
    assert remote.files("a") == {}
    (fill(tmp_path / "here", one="1", two="") / "deep").mkdir()
    fill(tmp_path / "here/deep", three="333")
    remote.push(tmp_path / "here", "a/b")
    assert remote.files("a/b") == {"one": 1, "two": 0, "deep/three": 3}
    assert Remote(f"{uri}/a").read("b/deep/three") == b"333"
    assert remote.pull("a/b", tmp_path / "back")
    assert (tmp_path / "back/deep/three").read_text() == "333"
    assert not remote.pull("a/none", tmp_path / "none")


def test_packed_file_has_the_bytes_that_were_written(uri: str, tmp_path: Path) -> None:
    """A file called `.gz` was packed again on its way, and unpacked when somebody else had put it there."""
    packed = gzip.compress(b'{"wer": 8.5}', mtime=0)
    remote = Remote(uri)
    remote.write("a/evidence.json.gz", packed)
    assert remote.files("a") == {"evidence.json.gz": len(packed)}
    assert remote.read("a/evidence.json.gz") == packed
    remote.write("a/old.json.gz", gzip.compress(packed, mtime=0))
    assert remote.read("a/old.json.gz") == packed
    remote.write("a/plain.gz", b"not packed at all")
    assert remote.read("a/plain.gz") == b"not packed at all"


def test_packed_file_that_others_put_there_is_read_as_it_is(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"wer": 8.5}', mtime=0)
    (tmp_path / "evidence.json.gz").write_bytes(packed)
    assert Remote(f"file://{tmp_path}").read("evidence.json.gz") == packed


def test_push_again_removes_what_is_gone_and_writes_what_changed(uri: str, tmp_path: Path) -> None:
    remote, here = Remote(uri), fill(tmp_path / "here", old="1", kept="2")
    remote.push(here, "a")
    (here / "old").unlink()
    fill(here, kept="22", new="3")
    fill(here, **{"torn.part": "x"})
    remote.push(here, "a")
    assert remote.files("a") == {"kept": 2, "new": 1}
    remote.delete("a")
    assert remote.files("a") == {}


def test_store_is_built_by_one_node_and_fetched_by_the_other(uri: str, tmp_path: Path) -> None:
    stores = [FolderStore(tmp_path / node, Remote(uri)) for node in ("one", "two")]
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        fill(folder, content="whole")

    for store in stores:
        assert (store.get_or_build("ab", build) / "content").read_text() == "whole"
    assert len(builds) == 1
    assert stores[1].ls() == ["ab"]
    stores[1].remove("ab")
    assert stores[1].get("ab") is None
    assert Remote(uri).files("") == {}


def test_build_that_was_cut_short_is_not_fetched(uri: str, tmp_path: Path) -> None:
    Remote(uri).write("ab/content", b"to")
    assert FolderStore(tmp_path, Remote(uri)).get("ab") is None


def test_search_at_a_uri_is_found_from_another_node(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec
) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "one"))
    folder = SearchFolder.of(uri, spec.name)
    assert folder.create(spec, Links(study="", tracking="sqlite:///x"))
    replica = Replica(folder)
    replica.begin()
    (folder.path / "study.journal").write_text("first\n")
    fill(folder.path / "trials/0000/student", config="{}")
    folder.remote.push(folder.path / "trials/0000", "trials/0000")
    with pytest.raises(InputError, match=f"{spec.name}: driven by pid {os.getpid()}"):
        Replica(folder).begin()
    replica.end()

    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "two"))
    other = SearchFolder.of(uri, spec.name)
    other.fetch()
    assert other.spec() == spec
    assert (other.path / "study.journal").read_text() == "first\n"
    assert not (other.trial(0) / "student").exists()
    other.fetch(students=True)
    assert (other.trial(0) / "student/config").exists()
    Replica(other).begin()


def test_journal_that_was_not_written_back_is_kept(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec
) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    folder = SearchFolder.of(uri, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    folder.remote.write("study.journal", b"first\n")
    (folder.path / "study.journal").write_text("first\nsecond\n")
    folder.fetch()
    assert (folder.path / "study.journal").read_text() == "first\nsecond\n"


def test_curve_that_a_worker_of_the_drivers_node_writes_loses_no_line(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec
) -> None:
    """Its worker writes into the driver's copy, and writes back only when it reports."""
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    folder = SearchFolder.of(uri, spec.name)
    here = fill(folder.trial(0), **{"curve.jsonl": "1\n", "evidence.json.gz": "old"})
    folder.remote.push(here, "trials/0000")
    with (here / "curve.jsonl").open("a") as curve:
        curve.write("2\n")
    folder.fetch_light_of_trials()
    assert (here / "curve.jsonl").read_text() == "1\n2\n"


def test_file_that_is_newer_here_stays_and_one_that_is_newer_there_comes(tmp_path: Path, monkeypatch, spec) -> None:
    """A worker that resumes drops lines of its curve, and one that judges again replaces the errors of a trial."""
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "here"))
    folder = SearchFolder.of(f"file://{tmp_path / 'far'}", spec.name)
    here, there = folder.trial(0), tmp_path / "far" / spec.name / "trials/0000"
    fill(there, **{"curve.jsonl": "1\n2\n", "evidence.json.gz": "old"})
    folder.fetch_light_of_trials()
    fill(here, **{"curve.jsonl": "1\n", "evidence.json.gz": "new"})
    folder.fetch_light_of_trials()
    assert [(here / name).read_text() for name in ("curve.jsonl", "evidence.json.gz")] == ["1\n", "new"]
    os.utime(there / "curve.jsonl", (later_s := (here / "curve.jsonl").stat().st_mtime + 1, later_s))
    folder.fetch_light_of_trials()
    assert [(here / name).read_text() for name in ("curve.jsonl", "evidence.json.gz")] == ["1\n2\n", "new"]


def test_only_what_has_changed_at_the_uri_is_fetched_again(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec
) -> None:
    """Beside a thousand trials, the curves of all of them took longer than a driver may be silent."""
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    folder = SearchFolder.of(f"{bucket}/{uuid4().hex}", spec.name)
    for number in range(3):
        folder.remote.write(f"trials/{number:04d}/curve.jsonl", b"1\n")
    fetched, read = [], Remote.read
    monkeypatch.setattr(Remote, "read", lambda remote, name: fetched.append(name) or read(remote, name))
    folder.fetch_light_of_trials()
    assert len(fetched) == 3
    folder.fetch_light_of_trials()
    assert len(fetched) == 3
    long_ago_s = 1e9  # S3 tells whole seconds
    os.utime(folder.trial(1) / "curve.jsonl", (long_ago_s, long_ago_s))
    folder.remote.write("trials/0001/curve.jsonl", b"1\n2\n")
    folder.fetch_light_of_trials()
    assert fetched[3:] == ["trials/0001/curve.jsonl"]
    assert (folder.trial(1) / "curve.jsonl").read_text() == "1\n2\n"


def test_addresses_that_are_fetched_are_read_by_their_owner_alone(tmp_path: Path, monkeypatch, spec) -> None:
    uri = f"memory://{uuid4().hex}"
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "here"))
    SearchFolder.of(uri, spec.name).create(spec, Links(study="postgresql://u:s3cret@h/d", tracking=""))
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "there"))
    folder = SearchFolder.of(uri, spec.name)
    folder.fetch()
    assert folder.links().study == "postgresql://u:s3cret@h/d"
    assert (folder.path / "search.json").stat().st_mode & 0o777 == 0o600


def test_driver_that_was_silent_for_long_gives_way_and_is_told(tmp_path: Path, monkeypatch, spec) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    folder = SearchFolder.of(f"memory://{uuid4().hex}", spec.name)
    folder.create(spec, Links(study="", tracking=""))
    now_s = 1000.0
    old, new = (Replica(folder, clock=lambda: now_s) for _ in range(2))
    old.begin()
    now_s += 61.0
    new.begin()
    with pytest.raises(Exception, match="another driver took over"):
        old.check()
    new.check()


def test_driver_that_copies_for_long_is_heard_of_meanwhile(tmp_path: Path, monkeypatch, spec) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(replica_file, "BEAT_S", 0.001)
    copying, heard, times = Event(), Event(), count()

    def copy(folder: SearchFolder) -> None:
        copying.set()
        assert heard.wait(60.0)

    def clock() -> float:
        if copying.is_set() and next(times) > 10:
            heard.set()
        return 1000.0

    monkeypatch.setattr(SearchFolder, "fetch_light_of_trials", copy)
    replica = Replica(SearchFolder.of(f"memory://{uuid4().hex}", spec.name), clock)
    replica.begin()
    assert copying.wait(60.0)
    assert heard.wait(60.0)
    replica.end()


def test_driver_that_could_not_copy_once_goes_on(tmp_path: Path, monkeypatch, spec) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(replica_file, "BEAT_S", 0.001)
    tried, again = count(), Event()

    def copy(folder: SearchFolder) -> None:
        if next(tried) == 0:
            raise AwayError("memory://x: gone")
        again.set()

    monkeypatch.setattr(SearchFolder, "fetch_light_of_trials", copy)
    replica = Replica(SearchFolder.of(f"memory://{uuid4().hex}", spec.name))
    replica.begin()
    assert again.wait(60.0)
    replica.held()
    replica.end()


def test_journal_that_could_not_be_copied_is_copied_at_the_end(tmp_path: Path, monkeypatch, spec) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    folder = SearchFolder.of(f"memory://{uuid4().hex}", spec.name)
    replica = Replica(folder)
    replica.begin()
    fill(folder.path, **{"study.journal": "first\n"})
    with monkeypatch.context() as patch:
        memory_is_away(patch)
        with pytest.raises(AwayError):
            replica._copy()
    replica.end()
    assert folder.remote.read("study.journal") == b"first\n"


def test_databases_are_not_folders() -> None:
    assert [is_remote(one) for one in ("s3://b/c", "gs://b", "memory://x")] == [True] * 3
    assert not any(is_remote(one) for one in ("/a", "a", "postgresql+psycopg2://h/d", "sqlite:///x.db", None))


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match=r"nofs://x: .*; expected a folder or a URI"):
        Remote("nofs://x")


def test_password_of_a_uri_is_not_told() -> None:
    with pytest.raises(InputError, match=r"^nofs://alice:\*\*\*@x: ") as refused:
        Remote("nofs://alice:s3cret@x")
    assert "s3cret" not in str(refused.value)


def test_s3_that_does_not_answer_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ACCOUNT, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AwayError, match=r"^s3://b/team: .*NETWORK_CONNECTION.*; what it holds is safe$"):
        Remote("s3://b/team").read("spec.yaml")


def test_store_that_goes_away_is_told_by_every_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, here = Remote("memory://u:s3cret@away"), fill(tmp_path, one="1")
    memory_is_away(monkeypatch)
    asked = [
        *(
            lambda: remote.read("a"),
            lambda: remote.write("a", b""),
            lambda: remote.files(""),
            lambda: remote.delete(""),
        ),
        *(lambda: remote.times_ns(""), lambda: remote.push(here, "a"), lambda: remote.pull("a", here)),
    ]
    for ask in asked:
        with pytest.raises(AwayError) as told:
            ask()
        assert str(told.value) == f"memory://u:***@away: {SAID}; what it holds is safe"


def test_full_disk_at_a_uri_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    remote = Remote("memory://full")
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.open", full)
    with pytest.raises(OSError, match="No space left"):
        remote.write("a", b"")


def test_store_beside_searches_at_a_uri() -> None:
    store = SearchFolder(Path("/copy"), "n", "s3://b/c").store
    assert store == Store(Path("/copy/_store"), "s3://b/c/_store")
