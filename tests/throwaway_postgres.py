"""A PostgreSQL of one's own, for tests and benchmarks; it must be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any


@contextmanager
def throwaway_postgres(*, durable: bool = False) -> Iterator[str]:
    """Its URL. `durable` waits for the disk as a real server does."""
    # Not below pytest's own folder, which is closed to all but its user: PostgreSQL refuses to be run by root.
    place = Path(tempfile.mkdtemp(prefix="raysearch-postgres-"))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(place, "postgres", "postgres")
    tools = Path(sorted(glob("/usr/lib/postgresql/*/bin"))[-1])
    data = place / "data"
    # Many tests of one process open studies, whose connections last as long as what opened them.
    options = f"-k {place} -c listen_addresses='' -c max_connections=400 -c fsync={'on' if durable else 'off'}"
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **as_user}
    subprocess.run([tools / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], **quiet)
    subprocess.run([tools / "pg_ctl", "-D", data, "-o", options, "-l", place / "log", "-w", "start"], **quiet)
    try:
        yield f"postgresql+psycopg2://postgres@/postgres?host={place}"
    finally:
        subprocess.run([tools / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(place)
