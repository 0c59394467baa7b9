"""The board: on it each worker says how far its work is, and the driver reads it. It lies in Ray's key-value store.

So it needs no actor and no shared file system. Workers write to it from a thread of their own: no training waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from ray.experimental import internal_kv

from raysearch.training.monitoring.progress import Step, Watch, heard_by

POST_S = 1.0
"""Seconds between two entries of a worker."""
NAMESPACE = "raysearch"


class Board:
    """The works of one search, each by its place: `teacher`, `shared`, or a trial such as `trial 3`."""

    def __init__(self, search: str) -> None:
        """`search` tells apart the searches on a cluster, such as the path of its folder."""
        self._prefix = f"progress/{search}/"

    def read(self) -> dict[str, Step]:
        """All works that were posted, as they were last heard of. Of workers that died they stay."""
        keys = internal_kv._internal_kv_list(self._prefix, namespace=NAMESPACE)
        places = [key.decode().removeprefix(self._prefix) for key in keys]
        return {place: step for place in places if (step := self.step(place)) is not None}

    def step(self, place: str) -> Step | None:
        """What was last heard of the work at one place; None if nothing was yet."""
        content = internal_kv._internal_kv_get(self._prefix + place, namespace=NAMESPACE)
        return Step(**json.loads(content)) if content else None

    @contextmanager
    def posting(self, place: str) -> Iterator[None]:
        """A context in which the work of this process is posted at a place. At the end the place is free."""
        watch, ended, key = Watch(), threading.Event(), f"{self._prefix}{place}"
        posted: Step | None = None

        def post() -> None:
            nonlocal posted
            while not ended.wait(POST_S):
                if watch.step is not None and watch.step != posted:
                    posted = watch.step
                    # Whatever ails the store: how far work is, is not worth any work.
                    with contextlib.suppress(Exception):
                        internal_kv._internal_kv_put(
                            key, json.dumps(asdict(posted)), overwrite=True, namespace=NAMESPACE
                        )

        thread = threading.Thread(target=post, daemon=True)
        thread.start()
        try:
            with heard_by(watch):
                yield
        finally:
            ended.set()
            thread.join(timeout=POST_S)
            if posted is not None:  # short works are over before they are posted
                with contextlib.suppress(Exception):
                    internal_kv._internal_kv_del(key, namespace=NAMESPACE)


def board_of(folder: str, uri: str) -> Board:
    """The board of the search in a folder, or at a URI."""
    return Board(f"{uri}/{os.path.basename(folder)}" if uri else folder)
