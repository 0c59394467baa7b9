"""Connects to Ray for as long as a search needs it: to a cluster that the user named, or to a Ray of our own.

A Ray of our own, called embedded here, runs on this machine alone and ends with the search. Whoever may send it a task
runs code as its user, so it listens on loopback addresses alone, and answers nobody who lacks its token.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import mkdtemp
from typing import Any

import ray
from ray._private import ray_constants

from raysearch.cluster import sweeper
from raysearch.cluster.orphans import remove_orphans
from raysearch.errors import CutOffError, InputError, Interrupted, WorkError

APART = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""The environment of an embedded Ray. Nobody takes this machine away from it, so nothing has to watch for
that. It has no dashboard, so the address is one where nobody answers.

Ray Train has a cleaner that asks a dashboard whether the controller of some workers still lives. Without an address it
looks for a dashboard among all processes of the machine. If it finds that of another Ray, which knows no such
controller, it ends our workers.
"""
TMPDIR = sweeper.VARIABLE
"""The variable that says where Ray puts its sockets and logs."""
MODE, TOKEN, CLUSTERS = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""Variables by which Ray is told to ask for a token, which token that is, and whether a node may have others beside it.

A node that may not listens on loopback addresses alone.
"""
MANY_NODES = ray_constants.ENABLE_RAY_CLUSTER
NEEDED = ("gcs_server", "raylet")
"""Processes of an embedded Ray without which nothing works. A driver that asks for them waits for a minute or more."""
STARTS = 3
"""Attempts to start Ray. It gives a node half a minute, and on a busy machine that may be too short more than once."""
HOST_AND_PORT = re.compile(r"(ray://)?(?P<host>[^/:]+):(?P<port>\d{1,5})")
"""An address at which something listens, or not. Others, such as `auto`, Ray makes sense of."""
ANSWERS_S = 10.0
"""Seconds that a cluster has to take a connection."""
SLOW = "timed out during startup"
"""What the message of an error says if Ray was too slow to start, as opposed to unable."""

QUIET_TUNE = {
    # Trials write their own curves: Tune need not log each result to CSV, JSON and TensorBoard as well.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune would catch Ctrl-C to save its own state. It must reach us: the state worth keeping is the study.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Seconds from one saving of that state to the next. It takes the longer the more trials there are.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
}
"""Variables by which Tune leaves undone what is done here, or what nobody reads."""


@contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """Connects to the cluster at `address` or in `RAY_ADDRESS`, or else starts a Ray of our own, until the block ends.

    Yields whether the Ray is our own: nobody adds nodes to that one later.
    Raises: InputError if no cluster answers at the address; WorkError if a Ray of our own does not start, or would let
    others in.
    """
    for name, value in QUIET_TUNE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    if address is not None or os.environ.get("RAY_ADDRESS"):
        _join(address)
        try:
            # A driver of this search whose node died may have left behind what the teacher, or a lane, would wait for.
            with suppress(Exception):  # a Ray client cannot look
                remove_orphans()
            yield False
        finally:
            ray.shutdown()
        return
    token = secrets.token_hex(32)
    closed = {MODE: "token", TOKEN: token, CLUSTERS: "0"}
    with _swept_folder() as folder, _environment(APART | closed | {TMPDIR: folder}):
        _start(
            # "local" starts a Ray of our own even where another one is running: nobody named that one.
            address="local",
            include_dashboard=False,
            # Lanes and workers exchange messages, not tensors: a small object store leaves memory to trials.
            object_store_memory=256 * 2**20,
            # Ray expects one process for each core and warns of more, but most processes of a lane are asleep.
            _system_config={"worker_maximum_startup_concurrency": 16},
            log_to_driver=False,
            logging_level="ERROR",
        )
        try:
            _check_closed(token)
            yield True
        except (Interrupted, CutOffError):
            raise  # closing a Ray takes up to ten seconds, and one that is broken never closes
        except BaseException:
            ray.shutdown()
            raise
        ray.shutdown()


def check_address(address: str | None) -> None:
    """Raises: InputError if nobody answers at the host and port of `address`, or else of `RAY_ADDRESS`.

    Ray itself would try for a quarter of an hour.
    """
    found = HOST_AND_PORT.fullmatch(os.environ.get("RAY_ADDRESS", "") if address is None else address)
    if found:
        with _told(address):
            socket.create_connection((found["host"], int(found["port"])), timeout=ANSWERS_S).close()


def _join(address: str | None) -> None:
    """Connects to the cluster at `address` or in `RAY_ADDRESS`. Raises: InputError if none answers there."""
    check_address(address)
    with _told(address):
        _init(address=address, log_to_driver=False, logging_level="ERROR")


@contextmanager
def _told(address: str | None) -> Iterator[None]:
    """Tells in one line why nobody answers at the address."""
    try:
        yield
    except (OSError, OverflowError, ValueError) as err:
        given = f"RAY_ADDRESS: {os.environ['RAY_ADDRESS']}" if address is None else f"--address: {address}"
        expected = "expected the address of a running cluster, such as 10.0.0.1:6379"
        raise InputError(f"{given}: {err}; {expected}") from err


def check_alive() -> None:
    """Looks after the Ray that was started here, if one was.

    Raises: CutOffError if one of the processes has died that it cannot do without.
    """
    node = ray._private.worker._global_node
    for kind, process in node.dead_processes() if node else ():
        if kind in NEEDED:
            raise CutOffError(f"Ray's {kind} ended ({process.poll()}), and Ray with it")


def _check_closed(token: str) -> None:
    """Raises: WorkError if the Ray of our own would answer others, as an older or a newer one might."""
    core: Any = ray._raylet
    host, _ = core.parse_address(ray.get_runtime_context().gcs_address)
    asks = core.get_authentication_mode() == core.AuthenticationMode.TOKEN
    if not asks or _loader().get_raw_token() != token:
        raise WorkError(f"Ray {ray.__version__} does not ask for the token that it was given; expected another version")
    if not core.is_localhost(host):
        raise WorkError(f"Ray {ray.__version__} listens on {host}, not on loopback; expected another version")


def _loader() -> Any:
    """What keeps the token in this process. Raises: WorkError if this version of Ray has no tokens."""
    loader: Any = getattr(ray._raylet, "AuthenticationTokenLoader", None)
    if loader is None:
        raise WorkError(f"Ray {ray.__version__} has no tokens, so that others could use it; expected a newer version")
    return loader.instance()


def _start(**settings: Any) -> None:
    """Starts Ray, and tries again if it was only slow. Raises: WorkError if Ray does not start."""
    for attempt in range(1, STARTS + 1):
        try:
            _init(**settings)
            return
        except Exception as err:  # Ray raises nothing narrower than this
            ray.shutdown()
            if SLOW not in str(err) or attempt == STARTS:
                load = f"load average {os.getloadavg()[0]:.0f}"
                raise WorkError(f"Ray did not start, attempt {attempt} of {STARTS} ({load}): {err}") from err


def _init(**settings: Any) -> None:
    """Calls `ray.init` and leaves SIGTERM with whom it was: Ray takes it for itself, and exits in a way of its own."""
    if threading.current_thread() is not threading.main_thread():
        ray.init(**settings)
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**settings)
    except SystemExit:  # what Ray has made of a SIGTERM that came meanwhile
        signal.signal(signal.SIGTERM, handler)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _swept_folder() -> Iterator[str]:
    """A new folder for the sockets and logs of an embedded Ray. When the block ends it is removed, and with it all that
    is left of that Ray. The same happens if this process dies within the block, or is about to.
    """
    folder = mkdtemp(prefix="raysearch-", dir=os.environ.get(TMPDIR))
    command = [sys.executable, "-I", "-S", sweeper.__file__, folder]
    # In a session of its own it outlives Ctrl-C, which is sent to a whole group of processes.
    broom = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    except (Interrupted, CutOffError):
        raise  # a driver dies with its Ray, and has something to say first
    except BaseException:
        broom.communicate()
        raise
    broom.communicate()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables until the block ends."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        _read_again()
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
        _read_again()


def _read_again() -> None:
    """Makes Ray read the environment again: it keeps what it found there when it was imported, or last asked."""
    ray._raylet.Config.initialize("")
    _loader().reset_cache()
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(CLUSTERS, MANY_NODES)
