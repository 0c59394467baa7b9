"""A Ray of our own: beside another one, and on a machine that is slow to start it."""

import os
from pathlib import Path

import pytest
from ray._private.services import find_bootstrap_address

from raysearch.errors import WorkError
from raysearch.search.connection import STARTS, connected


def test_embedded_ray_does_not_find_another_ray_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray Train's cleaner looks for it so: it asked the other Ray for our controller, and ended our workers."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("192.0.2.1:6379")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert find_bootstrap_address(None) == "192.0.2.1:6379"
    started = []
    monkeypatch.setattr("ray.init", lambda **kwargs: started.append(kwargs["address"]))
    with connected(None) as own:
        assert own
        assert started == ["local"]
        assert find_bootstrap_address(None) is None
    assert os.environ["RAY_TMPDIR"] == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ray"]


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
