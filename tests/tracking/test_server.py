"""The names under which a server of our own answers, and the port that it must find free."""

import socket
from pathlib import Path

import pytest
from mlflow.server.security_utils import is_allowed_host_header

from raysearch.errors import InputError
from raysearch.tracking.server import names, serve


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        *[("127.0.0.1:5000", True), ("localhost:5000", True), ("[::1]:5000", True)],
        *[("10.evil.example", False), ("192.168.1.1.evil.example:5000", False), ("10.0.0.7:5000", False)],
    ],
)
def test_local_server_answers_to_this_machines_names_alone(asked: str, answered: bool) -> None:
    assert is_allowed_host_header(names("127.0.0.1", 5000), asked) == answered


def test_address_that_the_user_names_is_answered_to() -> None:
    assert is_allowed_host_header(names("10.0.0.7", 5000), "10.0.0.7:5000")
    assert is_allowed_host_header(names("fe80::1", 5000), "[fe80::1]:5000")


def test_taken_port_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port: {port}: Address already in use on 127.0.0.1; expected a port"):
            serve(tmp_path / "s", "127.0.0.1", port)
    assert not (tmp_path / "s").exists()
