"""A Ray of our own: beside another one, and on a machine that is slow to start it."""

import os
from pathlib import Path

import pytest
import ray
from ray.train.v2._internal.state.util import is_actor_alive
from ray.util.state.exception import RayStateApiException

from raysearch.cluster.connection import STARTS, connected
from raysearch.errors import WorkError


def test_embedded_ray_does_not_ask_another_ray_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Train's cleaner did, was told that it knows no such controller, and ended our workers."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://192.0.2.1:8265")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with connected(None) as own:
        assert own
        folder = Path(os.environ["RAY_TMPDIR"])
        with pytest.raises(RayStateApiException, match=r"127\.0\.0\.1"):
            ray.get(state_of_itself.remote())
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://192.0.2.1:8265"
    assert "RAY_TMPDIR" not in os.environ
    assert not folder.exists()


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def state_of_itself() -> bool:
    return is_actor_alive("a" * 32, timeout=5)


@pytest.mark.parametrize("slow_starts", [STARTS - 1, STARTS])
def test_node_that_is_slow_to_start_is_started_again(slow_starts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = []

    def init(**settings: object) -> None:
        started.append(settings)
        if len(started) <= slow_starts:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    if slow_starts == STARTS:
        with pytest.raises(WorkError, match=r"Ray did not start, attempt 3 of 3 .*timed out"), connected(None):
            pass
    else:
        with connected(None) as own:
            assert own
    assert len(started) == STARTS


def test_ray_that_cannot_start_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = []

    def init(**settings: object) -> None:
        started.append(settings)
        raise ValueError("no space left")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(WorkError, match="no space left"), connected(None):
        pass
    assert len(started) == 1
