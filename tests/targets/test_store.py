"""The store: one build per key, whatever races, dies or fails."""

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from raysearch.errors import WorkError
from raysearch.files.remote import Remote
from raysearch.targets.label_set import LabelKey, write_label_set
from raysearch.targets.store import FolderStore, LabelStore

KEY = LabelKey(source="mfcc", teacher="", layer=0, clusters=4, seed=0, fit_frames=100, corpus="cd34")
SPAWN = multiprocessing.get_context("spawn")


def _write(folder: Path) -> None:
    (folder / "content").write_text("whole")


def _ask(root: Path, barrier, answers) -> None:
    def build(folder: Path) -> None:
        with (root / "builds").open("a") as log:
            log.write("built\n")
        _write(folder)

    barrier.wait()
    answers.put((FolderStore(root / "store").get_or_build("ab", build) / "content").read_text())


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    barrier, answers = SPAWN.Barrier(2), SPAWN.Queue()
    askers = [SPAWN.Process(target=_ask, args=(tmp_path, barrier, answers)) for _ in range(2)]
    for asker in askers:
        asker.start()
    assert [answers.get(timeout=60) for _ in askers] == ["whole", "whole"]
    for asker in askers:
        asker.join(timeout=60)
    assert (tmp_path / "builds").read_text() == "built\n"


def _die_while_building(root: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "content").write_text("ha")
        os._exit(9)

    FolderStore(root).get_or_build("ab", build)


def test_builder_that_died_leaves_nothing_and_the_next_builds(tmp_path: Path) -> None:
    builder = SPAWN.Process(target=_die_while_building, args=(tmp_path,))
    builder.start()
    builder.join(timeout=60)
    assert builder.exitcode == 9
    store = FolderStore(tmp_path)
    assert store.get("ab") is None
    assert (store.get_or_build("ab", _write) / "content").read_text() == "whole"


def test_folders_asked_for_together_are_built_in_one_call(tmp_path: Path) -> None:
    store, asked = FolderStore(tmp_path), []

    def build(folders) -> None:
        asked.append(sorted(folders))
        for folder in folders.values():
            _write(folder)

    store.get_or_build("bb", _write)
    found = store.get_or_build_all(["cc", "bb", "aa"], build)
    assert asked == [["aa", "cc"]]
    assert {digest: (path / "content").read_text() for digest, path in found.items()} == dict.fromkeys(found, "whole")
    assert store.ls() == sorted(found) == ["aa", "bb", "cc"]


def test_builder_of_several_that_raised_leaves_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.get_or_build_all(["aa", "bb"], lambda folders: [_write(folders["aa"]), 1 / 0])
    assert store.ls() == []
    assert [path for path in tmp_path.iterdir() if path.name != ".locks"] == []


def _train(folder: Path) -> None:
    """Three updates, of which each process that is killed does one."""
    done = len(list(folder.glob("update*")))
    (folder / f"update{done}").touch()
    if done < 2:
        os._exit(9)
    (folder / "content").write_text("whole")


def _train_and_answer(root: Path, answers) -> None:
    answers.put(FolderStore(root).get_or_train("ab", _train).name)


def test_training_that_was_killed_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    answers = SPAWN.Queue()
    for exitcode in (9, 9, 0):
        trainer = SPAWN.Process(target=_train_and_answer, args=(tmp_path, answers))
        trainer.start()
        trainer.join(timeout=60)
        assert trainer.exitcode == exitcode
        assert (FolderStore(tmp_path).get("ab") is None) == (exitcode == 9)
    assert answers.get(timeout=60) == "ab"
    found = FolderStore(tmp_path).get_or_train("ab", lambda folder: pytest.fail("it is there"))
    assert sorted(path.name for path in found.iterdir()) == ["complete", "content", "update0", "update1", "update2"]


def test_training_that_raised_is_kept_and_goes_on(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.get_or_train("ab", lambda folder: [(folder / "update0").touch(), 1 / 0])
    assert (store.get_or_train("ab", _write) / "update0").exists()


def test_training_that_is_damaged_begins_anew(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (store.get_or_train("ab", _write) / "content").write_text("torn")
    assert store.get("ab") is None
    assert (store.get_or_train("ab", _write) / "content").read_text() == "whole"


def test_training_under_way_is_in_use_as_long_as_it_writes(tmp_path: Path) -> None:
    store, checkpoint = FolderStore(tmp_path), tmp_path / "ab.part" / "checkpoints" / "000000500"
    checkpoint.mkdir(parents=True)
    for path in (tmp_path / "ab.part", checkpoint.parent):
        os.utime(path, (1.0, 1.0))
    assert store.unused(2.0) == {}
    os.utime(checkpoint, (1.0, 1.0))
    assert store.unused(2.0) == {"ab.part": 0}


def test_of_a_large_file_the_size_alone_is_compared(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, sized=("large",))
    path = store.get_or_build("ab", lambda folder: [(folder / name).write_text("1234") for name in ("large", "small")])
    (path / "large").write_text("9999")
    assert store.get("ab") == path
    (path / "small").write_text("9999")
    assert store.get("ab") is None
    (path / "small").write_text("1234")
    (path / "large").write_text("123")
    assert store.get("ab") is None


def test_builder_that_raised_is_followed_by_another(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.get_or_build("ab", lambda folder: 1 / 0)
    assert (store.get_or_build("ab", _write) / "content").exists()


def test_folder_without_marker_is_built_again(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (store.get_or_build("ab", _write) / "complete").unlink()
    (tmp_path / "ab" / "content").write_text("torn")
    assert store.get("ab") is None
    assert (store.get_or_build("ab", _write) / "content").read_text() == "whole"


def test_unused_folders_and_what_dead_builders_left_are_named_and_removed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for digest in ("cc", "aa", "bb"):
        store.get_or_build(digest, _write)
    (tmp_path / "dd.part").mkdir()
    (tmp_path / "dd.part" / "content").write_text("ha")
    for path in (tmp_path / "aa" / "complete", tmp_path / "dd.part" / "content", tmp_path / "dd.part"):
        os.utime(path, (1.0, 1.0))
    assert store.ls() == ["aa", "bb", "cc"]
    assert store.unused(2.0) == {"aa": store.size("aa"), "dd.part": 2}
    for name in store.unused(2.0):
        store.remove(name)
    assert store.ls() == ["bb", "cc"]
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["bb", "cc"]


def test_store_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert FolderStore(tmp_path / "none").ls() == []
    assert FolderStore(tmp_path / "none").get("ab") is None


def _label(folder: Path) -> None:
    write_label_set(folder, KEY, 160, {"a": np.array([3, 1], np.int16)}, {})


def test_label_set_is_built_once_and_listed(tmp_path: Path) -> None:
    store, builds = LabelStore(tmp_path), []

    def build(folder: Path) -> None:
        builds.append(folder)
        _label(folder)

    assert store.get(KEY) is None
    for _ in range(2):
        np.testing.assert_array_equal(store.get_or_build(KEY, build).labels("a"), [3, 1])
    assert len(builds) == 1
    assert [found.key for found in store.ls()] == [KEY]


def test_unreadable_label_set_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    store.get_or_build(KEY, _label)
    (tmp_path / KEY.digest / "complete").write_bytes(b"")
    assert store.get(KEY) is not None
    (tmp_path / KEY.digest / "labels.npy").write_bytes(b"")
    with pytest.raises(WorkError, match=f"{KEY.digest} is unreadable"):
        store.get(KEY)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [_cut, _emptied, _flipped, Path.unlink])
def test_damaged_label_set_is_built_again(tmp_path: Path, harm, caplog: pytest.LogCaptureFixture) -> None:
    store = LabelStore(tmp_path)
    store.get_or_build(KEY, _label)
    harm(tmp_path / KEY.digest / "labels.npy")
    assert store.get(KEY) is None
    assert store.ls() == []
    assert f"{KEY.digest} is damaged (labels.npy" in caplog.text
    np.testing.assert_array_equal(store.get_or_build(KEY, _label).labels("a"), [3, 1])
    assert store.get(KEY) is not None


def test_damaged_seal_is_damage(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (store.get_or_build("ab", _write) / "complete").write_text("{")
    assert store.get("ab") is None


def test_damage_at_a_uri_is_built_again_and_written_back(tmp_path: Path) -> None:
    remote = Remote(f"memory://{os.urandom(4).hex()}")
    FolderStore(tmp_path / "one", remote).get_or_build("ab", _write)
    remote.write("ab/content", b"")
    other = FolderStore(tmp_path / "two", remote)
    assert other.get("ab") is None
    other.get_or_build("ab", _write)
    found = FolderStore(tmp_path / "three", remote).get("ab")
    assert found is not None
    assert (found / "content").read_text() == "whole"


def test_store_that_may_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.get_or_build("ab", _write)

    def refuse(*given: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert (store.get_or_build("ab", _write) / "content").read_text() == "whole"
