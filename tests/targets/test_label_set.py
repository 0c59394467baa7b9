"""Label sets on disk and the keys they go by."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raysearch.errors import WorkError
from raysearch.targets.label_set import LabelKey, read_label_set, write_label_set

KEY = LabelKey(source="teacher", teacher="ab12", layer=3, clusters=8, seed=0, fit_frames=100, corpus="cd34")
LABELS = {"b": np.array([1, 2, 7], np.int16), "a": np.array([], np.int16), "c": np.array([5], np.int16)}


def test_set_read_back_has_the_same_labels(tmp_path: Path) -> None:
    write_label_set(tmp_path, KEY, 320, LABELS, {"perplexity": 4.0})
    found = read_label_set(tmp_path)
    for cut, labels_T in LABELS.items():
        np.testing.assert_array_equal(found.labels(cut), labels_T)
    assert (found.key, found.clusters, found.hop_samples, found.quality) == (KEY, 8, 320, {"perplexity": 4.0})
    assert found.labels_N.dtype == np.int16
    assert isinstance(found.labels_N, np.memmap)


def test_soft_labels_are_read_back_and_follow_new_numbers(tmp_path: Path) -> None:
    shares = np.array([[0.7, 0.3], [0.6, 0.4], [1.0, 0.0], [0.5, 0.5]], np.float16)
    near = np.array([[1, 2], [2, 3], [7, 0], [5, 6]], np.int16)
    parts = {"b": (near[:3], shares[:3]), "a": (near[:0], shares[:0]), "c": (near[3:], shares[3:])}
    key = replace(KEY, soft=0.5)
    assert key.digest != KEY.digest
    write_label_set(tmp_path, key, 320, LABELS, {}, parts)
    found = read_label_set(tmp_path)
    for cut, expected in parts.items():
        for got, wanted in zip(found.soft_labels(cut), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
    turned = replace(found, numbers_K=np.arange(8)[::-1])
    np.testing.assert_array_equal(turned.soft_labels("c")[0], [[2, 1]])
    np.save(tmp_path / "near.npy", near[:3])
    with pytest.raises(WorkError, match=r"unreadable \(soft labels for another number of frames than 4\)"):
        read_label_set(tmp_path)


def test_labels_of_an_unknown_cut_are_a_key_error(tmp_path: Path) -> None:
    write_label_set(tmp_path, KEY, 320, LABELS, {})
    with pytest.raises(KeyError, match="zz"):
        read_label_set(tmp_path).labels("zz")


@pytest.mark.parametrize(
    "change",
    [{"layer": 4}, {"teacher": "x"}, {"clusters": 9}, {"seed": 1}, {"corpus": "x"}, {"kmeans": "faiss"}],
)
def test_digest_changes_with_every_part(change: dict[str, object]) -> None:
    assert replace(KEY, **change).digest != KEY.digest
    assert len(KEY.digest) == 16


def _tear_labels(folder: Path) -> None:
    file = folder / "labels.npy"
    file.write_bytes(file.read_bytes()[:-2])


def _miscount(folder: Path) -> None:
    document = json.loads((folder / "label_set.json").read_text())
    document["frames"]["b"] = 4
    (folder / "label_set.json").write_text(json.dumps(document))


def _tear_document(folder: Path) -> None:
    (folder / "label_set.json").write_text('{"key": ')


def _foreign_key(folder: Path) -> None:
    (folder / "label_set.json").write_text('{"key": {"colour": 1}, "frames": {"a": 4}, "hop_samples": 1}')


def _drop_labels(folder: Path) -> None:
    (folder / "labels.npy").unlink()


@pytest.mark.parametrize("damage", [_tear_labels, _miscount, _tear_document, _foreign_key, _drop_labels])
def test_damaged_set_is_named_unreadable(tmp_path: Path, damage) -> None:
    write_label_set(tmp_path, KEY, 320, LABELS, {})
    damage(tmp_path)
    with pytest.raises(WorkError, match=f"label set {tmp_path} is unreadable .* delete the folder"):
        read_label_set(tmp_path)
