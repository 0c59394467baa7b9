"""What a driver's log holds of a lost lane."""

import logging

import pytest

from raysearch.lanes.tune import last_line


def test_lost_lane_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tune-stand-in")
    log.addFilter(last_line)
    err = RuntimeError("ray::Lane.train()\n  File lane.py\nRuntimeError: the lane's workers ended")
    log.error("Trial task failed for trial %s", "Lane_1", exc_info=err)
    log.error("no exception")
    assert [record.getMessage() for record in caplog.records] == [
        "Trial task failed for trial Lane_1: RuntimeError: the lane's workers ended",
        "no exception",
    ]
    assert "Traceback" not in caplog.text
