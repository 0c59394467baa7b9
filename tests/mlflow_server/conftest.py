"""Searches on real servers: one open, one with authentication."""

import pytest

from tests.mlflow_server.filling import SCRIPT, TEACHER, fill, mixed, trials
from tests.mlflow_server.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Two searches, one whose names are markup, and one with trials of every state."""
    folder = tmp_path_factory.mktemp("open")
    server = Server(folder).start()
    fill(server, folder, "an4", trials(4))
    fill(server, folder, "other", trials(2))
    fill(server, folder, SCRIPT, trials(1, note=SCRIPT))
    fill(server, folder, "mixed", mixed(), TEACHER)
    yield server
    server.kill()
