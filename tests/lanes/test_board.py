"""The board, on a key-value store in memory."""

from __future__ import annotations

import pytest
from ray.experimental import internal_kv

from raysearch.lanes import board
from raysearch.lanes.board import Board, board_of
from raysearch.training.monitoring.progress import Step, tell


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    kept: dict[bytes, bytes] = {}
    monkeypatch.setattr(board, "POST_S", 0.001)
    monkeypatch.setattr(
        internal_kv, "_internal_kv_put", lambda key, value, **_: kept.update({key.encode(): value.encode()})
    )
    monkeypatch.setattr(
        internal_kv,
        "_internal_kv_list",
        lambda prefix, **_: [key for key in kept if key.startswith(prefix.encode())],
    )
    monkeypatch.setattr(internal_kv, "_internal_kv_get", lambda key, **_: kept.get(key.encode()))
    monkeypatch.setattr(internal_kv, "_internal_kv_del", lambda key, **_: kept.pop(key.encode(), None))
    return kept


def test_driver_reads_what_a_worker_does_until_it_is_done(store: dict[bytes, bytes]) -> None:
    mine, other = board_of("/runs/one", ""), board_of("/copy/two", "s3://runs")
    with mine.posting("trial 3"):
        tell("training", 70, 150, loss=2.5)
        while not store:
            pass
        assert mine.read() == {"trial 3": Step("training", 70, 150, "updates", 2.5)}
        assert mine.step("trial 3") == Step("training", 70, 150, "updates", 2.5)
        assert (mine.step("trial 4"), other.read()) == (None, {})
    assert mine.read() == {}


def test_store_that_fails_disturbs_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def put(*_: object, **__: object) -> None:
        tried.append(1)
        raise ConnectionError

    monkeypatch.setattr(board, "POST_S", 0.001)
    monkeypatch.setattr(internal_kv, "_internal_kv_put", put)
    monkeypatch.setattr(internal_kv, "_internal_kv_del", put)
    with Board("one").posting("teacher"):
        tell("training", 1, 2)
        while not tried:
            pass
    assert len(tried) >= 2
