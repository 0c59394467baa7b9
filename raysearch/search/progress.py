"""What a person sees while a search runs: one plain line an event, so that a job's log reads like a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from raysearch.front.document import document as build_document
from raysearch.search.study import Study
from raysearch.spec import COST_OBJECTIVES, Spec


class Progress:
    def __init__(
        self,
        spec: Spec,
        study: Study,
        *,
        trials: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._study = study
        self._trials = trials
        self._say = say
        self._clock = clock
        self._began_s = clock()
        self._ended_before = self._ended()

    def heard(self, event: str, number: int) -> None:
        """A trial started, reached a rung, was stopped, or ended."""
        record = self._study.record(number)
        if event == "start":
            searched = " ".join(f"{key.rsplit('.', 1)[-1]}={_short(value)}" for key, value in record.config.items())
            self._say(f"trial {number:3d}  starts  {record.cost.macs_g:7.1f} GMAC  {searched}")
            return
        error = next(o for o in self._spec.objectives if o not in COST_OBJECTIVES)
        measured = record.metrics.get(f"eval/{error}")
        shown = f"{error} {measured:5.1f} %" if measured is not None else ""
        if event == "end" and record.state == "failed":
            cause = (record.error or "").strip().splitlines()[-1:]
            self._say(f"trial {number:3d}  failed ({record.cause}): {''.join(cause)}")
        elif event == "end" and record.state == "running":
            self._say(f"trial {number:3d}  lost its workers; runs again from its checkpoint")
        elif event == "end" and record.state == "stopped":
            return
        else:
            state = {"rung": "goes on", "stop": "stopped", "end": record.state}[event]
            at = f"{state}  {shown}  {record.cost.macs_g:7.1f} GMAC"
            self._say(f"trial {number:3d}  rung {record.rung}  {at}  {self._front()}")

    def close(self) -> None:
        self._say(f"done in {self._clock() - self._began_s:.0f} s: {self._front()}")

    def _front(self) -> str:
        document = build_document(
            self._spec.name, self._spec.objectives, self._study.records(), self._study.about["reference_point"], None
        )
        ended = self._ended()
        line = f"front {len(document.front)}  hypervolume {document.hypervolume:.0f}  {ended}/{self._trials} trials"
        done_here = ended - self._ended_before
        if done_here and ended < self._trials:
            left_s = (self._clock() - self._began_s) / done_here * (self._trials - ended)
            line += f"  ~{left_s / 60:.0f} min left"
        return line

    def _ended(self) -> int:
        return sum(record.state not in ("running", "infeasible") for record in self._study.records())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
