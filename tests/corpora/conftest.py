"""The real speech beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def speech(request: pytest.FixtureRequest) -> Path:
    """Folder of real speech corpora."""
    folder: Path = request.config.rootpath.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real speech: {folder} is absent")
    return folder
