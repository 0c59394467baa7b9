"""What a driver wrote down of how far it is, read by others."""

from pathlib import Path

import pytest

from raysearch.storage.stage import STAGE, Stage, read_stage, write_stage
from raysearch.training.monitoring.progress import Step


def test_stage_is_read_as_it_was_written(tmp_path: Path) -> None:
    stage = Stage("trials", {"trial 3": Step("training", 70, 150, "updates", 2.5, 3.25)})
    write_stage(tmp_path, stage)
    assert read_stage(tmp_path) == stage
    write_stage(tmp_path, Stage("failed", reason="disk full"))
    assert read_stage(tmp_path) == Stage("failed", reason="disk full")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"phase": "trials"}', '{"phase": "trials", "works": {"a": {}}}'])
def test_damaged_stage_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / STAGE).write_text(content)
    assert read_stage(tmp_path) is None
    assert read_stage(tmp_path / "nowhere") is None
