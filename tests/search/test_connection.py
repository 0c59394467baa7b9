"""A Ray of our own beside another one."""

import os
from pathlib import Path

import pytest
from ray._private.services import find_bootstrap_address

from raysearch.search.connection import connected


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
