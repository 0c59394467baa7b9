"""A search whose lanes are more than the places for their workers, as after a node of a fixed number was lost."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.fake_search import ROOT, drive, make_search, outcomes, without_faults

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import ray

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_idle_lane_gives_its_place_to_the_one_whose_trial_waits(one_place: None, tmp_path: Path) -> None:
    """Else the last trial waits in the lane without room, while the other lane has nothing more to run."""
    folder = make_search(tmp_path, {}, trials=4, lanes=2)
    heard: list[tuple[str, int]] = []
    study = drive(folder, heard=lambda event, number: heard.append((event, number)))
    assert outcomes(study) == outcomes(without_faults(folder))
    ended = [number for event, number in heard if event == "end"]
    assert sorted(ended) == [0, 1, 2, 3]
    assert ended[-1] in (0, 1), "one of the first two trials had to wait for a place"
    assert not any(event == "start" for event, _ in heard[heard.index(("end", ended[-2])) :]), "it was not lost"
