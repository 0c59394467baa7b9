"""Notices of a search, sent by apprise from a thread of its own: whoever is not there to take them holds up nothing.

Addresses come from environment variables and are in no message, log or study.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysearch.errors import InputError, WorkError, counted
from raysearch.files.secrets import masked
from raysearch.front.document import document as build_document
from raysearch.front.objective import header, value
from raysearch.search.repeats import over_seeds
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.spec.notices import Event, NoticeSettings

WAITING = 1_000
"""Notices that wait to be sent, at most. Of a search that fails faster than its notifier takes in, the rest is lost."""
LAST_S = 10.0
"""Seconds for which the end of a search waits for the notices that are still to be sent."""
HURRIED_S = 1.0
"""The same after Ctrl-C."""
Send = Callable[[str, str], bool]
"""Sends a title and a text to all addresses. Returns whether all took it."""


class Notices:
    """Sends what it is told of, one after the other. Nothing that it does raises or waits."""

    def __init__(
        self, wanted: NoticeSettings | None, name: str, say: Callable[[str], None], send: Send | None = None
    ) -> None:
        self._wanted = wanted
        self._name = name
        self._say = say
        self._send = send
        self._waiting: queue.Queue[str | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, daemon=True)
        if wanted is not None:
            self._thread.start()

    def tell(self, event: Event, text: str) -> None:
        """Puts a notice among those to be sent, if it is one of those that are wanted."""
        if self._wanted is None or event not in self._wanted.of:
            return
        try:
            self._waiting.put_nowait(f"{event}: {masked(text)}")
        except queue.Full:
            return

    def close(self, wait_s: float = LAST_S) -> None:
        """Waits a little for what is still to be sent."""
        if self._wanted is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                return
            self._thread.join(timeout=wait_s)

    def _work(self) -> None:
        assert self._wanted is not None
        told = False
        while (text := self._waiting.get()) is not None:
            try:
                self._send = self._send or _sender(self._wanted)
                sent = self._send(f"raysearch {self._name}", text)
            # Whatever a notifier's library raises, it may hold the address.
            except Exception:
                sent = False
            if not sent and not told:
                told = True
                self._say(f"notices: one was not taken by every address in {', '.join(self._wanted.variables)}")


def _sender(settings: NoticeSettings) -> Send:
    # Loading it takes half a second, which no search without notices should pay for.
    import apprise

    # It writes addresses into its log.
    logging.getLogger("apprise").disabled = True
    notifier = apprise.Apprise()
    for name in settings.variables:
        for address in os.environ.get(name, "").split():
            notifier.add(address)

    def send(title: str, text: str) -> bool:
        return bool(notifier.notify(title=title, body=text))

    return send


class Reporter:
    """Makes notices of what happens to trials."""

    def __init__(
        self, spec: Spec, study: Study, notices: Notices, also: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        """`also` hears everything before it."""
        self._also = also
        self._spec = spec
        self._study = study
        self._notices = notices
        self._on = spec.notices is not None
        self._volume = self._front()[0] if self._on else 0.0

    def heard(self, event: str, number: int) -> None:
        """Takes in what happened to a trial: `start`, `rung`, `stop`, `drained` or `end`."""
        self._also(event, number)
        if not self._on or event not in ("stop", "end"):
            return
        record = self._study.record(number)
        if record.state == "failed":
            lines = (record.error or "").strip().splitlines()
            self._notices.tell("failed", f"trial {number} ({record.cause}): {lines[-1] if lines else ''}")
        elif record.state == "complete":
            volume, text = self._front()
            if volume > self._volume:
                self._volume = volume
                self._notices.tell("front", f"trial {number} made it grow; {text}")

    def _front(self) -> tuple[float, str]:
        """The hypervolume, and the front in words."""
        spec, records = self._spec, over_seeds(self._study.records())
        found = build_document(spec.name, spec.objectives, records, self._study.about["reference_point"])
        points = [
            ", ".join(f"{header(name)} {value(one, name):.4g}" for name in spec.objectives) for one in found.members()
        ]
        return found.hypervolume, f"hypervolume {found.hypervolume:.0f}; " + "; ".join(points)


@contextmanager
def noticing(spec: Spec, say: Callable[[str], None]) -> Iterator[Notices]:
    """The notices of a search that runs within the block. That it starts is told, and what it was stopped by."""
    notices, wait_s = Notices(spec.notices, spec.name, say), LAST_S
    lanes = spec.workers.fixed_lanes
    on = counted(lanes, "lane") if lanes else "as many lanes as fit"
    notices.tell("started", f"{', '.join(spec.methods)} on {on}")
    try:
        yield notices
    except (InputError, WorkError) as err:
        notices.tell("stopped", str(err).partition("\n")[0])
        raise
    except BaseException as err:
        # Ctrl-C ends every verb within three seconds.
        wait_s = HURRIED_S
        notices.tell("stopped", f"by {type(err).__name__}")
        raise
    finally:
        notices.close(wait_s)
