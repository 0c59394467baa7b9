"""A Ray of our own: beside another one, closed to strangers, and on a machine that is slow to start it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
import ray
from ray.train.v2._internal.state.util import is_actor_alive
from ray.util.state.exception import RayStateApiException

from raysearch.cluster.connection import STARTS, connected
from raysearch.errors import InputError, WorkError


@pytest.mark.parametrize("slow_starts", [STARTS - 1, STARTS])
def test_node_that_is_slow_to_start_is_started_again(slow_starts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = []

    def init(**settings: object) -> None:
        started.append(settings)
        if len(started) <= slow_starts:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("raysearch.cluster.connection._check_closed", lambda token: None)
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


def test_address_that_is_none_is_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "Invalid address format: foo; expected the address of a running cluster"
    with pytest.raises(InputError, match=f"^--address: foo: {expected}"), connected("foo"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "foo")
    with pytest.raises(InputError, match=f"^RAY_ADDRESS: foo: {expected}"), connected(None):
        pass


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_address_where_nothing_listens_is_told_at_once(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda **settings: pytest.fail("Ray itself would try for a quarter of an hour"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"{scheme}127.0.0.1:{closed.getsockname()[1]}"
    with (
        pytest.raises(InputError, match=rf"^--address: {address}: .*refused; expected the address"),
        connected(address),
    ):
        pass


def test_address_where_no_ray_answers_is_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**settings: object) -> None:
        raise ConnectionError("ray client connection timeout")

    monkeypatch.setattr("ray.init", init)
    with socket.create_server(("127.0.0.1", 0)) as open_port:
        address = f"127.0.0.1:{open_port.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=f"^--address: {address}: ray client connection timeout"),
            connected(address),
        ):
            pass


@pytest.fixture(scope="module")
def own_ray() -> Iterator[str]:
    """The address of an embedded Ray, which is started once for the tests that look at one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("RAY_TMPDIR", raising=False)
        patch.setenv("RAY_API_SERVER_ADDRESS", "http://192.0.2.1:8265")
        patch.setenv("RAY_AUTH_TOKEN", "known-to-others")
        with connected(None) as own:
            assert own
            folder = Path(os.environ["RAY_TMPDIR"])
            yield ray.get_runtime_context().gcs_address
        assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://192.0.2.1:8265"
        assert os.environ["RAY_AUTH_TOKEN"] == "known-to-others"
        assert "RAY_TMPDIR" not in os.environ
        assert not folder.exists()


def test_embedded_ray_does_not_ask_another_ray_of_the_machine(own_ray: str) -> None:
    """Ray Train's cleaner did, was told that it knows no such controller, and ended our workers."""
    with pytest.raises(RayStateApiException, match=r"127\.0\.0\.1"):
        ray.get(state_of_itself.remote())


def test_embedded_ray_listens_on_loopback_alone(own_ray: str) -> None:
    ray.get(nothing.remote())
    me = psutil.Process()
    listening = {
        (process.name(), ip_address(socket.laddr.ip))
        for process in (me, *me.children(recursive=True))
        for socket in process.net_connections("tcp")
        if socket.status == psutil.CONN_LISTEN
    }
    # Ray writes loopback addresses of IPv4 in the form of IPv6.
    assert {name for name, ip in listening if not (getattr(ip, "ipv4_mapped", None) or ip).is_loopback} == set()
    assert {name for name, _ in listening} >= {"gcs_server", "raylet"}


# Reads the cluster's table of keys, which is the least that whoever reaches its ports could do.
STRANGER = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=20)
except Exception as err:
    print(type(err).__name__, "token" in str(err).lower() or "authenti" in str(err).lower())
else:
    print("let in")
"""


def test_stranger_without_the_token_is_refused(own_ray: str) -> None:
    bare = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    strangers = [
        bare | {"RAY_AUTH_MODE": "disabled"},
        bare | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64},
    ]
    asked = [
        subprocess.Popen([sys.executable, "-c", STRANGER, own_ray], env=env, stdout=subprocess.PIPE, text=True)
        for env in (dict(os.environ), *strangers)
    ]
    ours, *theirs = [process.communicate()[0].strip() for process in asked]
    assert ours == "let in"
    assert [said.endswith("True") for said in theirs] == [True, True], theirs


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def nothing() -> None:
    return


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def state_of_itself() -> bool:
    return is_actor_alive("a" * 32, timeout=5)
