"""Runs a trial again from its record, in this process, and says what came out differently."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from raysearch.deploy.export import find_trial
from raysearch.errors import InputError
from raysearch.front.objective import errors_of, interval, value
from raysearch.front.trials import TrialRecord
from raysearch.lanes.workplace import Workplace
from raysearch.search.reading import open_study
from raysearch.search.sampler import derived_seed
from raysearch.settings import Outcome
from raysearch.spec.document import Spec
from raysearch.storage.folder import SearchFolder
from raysearch.storage.provenance import git_commit, hardware, versions
from raysearch.training.monitoring.meter import TIMINGS

OF_THE_MACHINE = (*TIMINGS, "cost/seconds", "cost/cpu_seconds", "system/gpu_memory_gb")
"""Metrics that are expected to differ from machine to machine, and are not compared."""


class Difference(Outcome):
    """One thing that is not as it was recorded."""

    what: str
    recorded: Any
    now: Any


class Reproduction(Outcome):
    """The error of a trial that was run again beside its recorded one, both on dev and in percent.

    Of a trial that was searched for two errors it is one that has left its interval, or else the first.
    """

    search: str
    trial: int
    folder: Path
    """Folder that the new run wrote."""
    metric: str
    """Name of the error."""
    recorded: float
    low: float
    """Lower end of the recorded 95 % interval."""
    high: float
    """Upper end of the recorded 95 % interval."""
    now: float
    """Error of the new run."""
    within: bool
    """Whether the new error lies in the recorded 95 % interval."""
    identical: bool
    """Whether every error is the recorded one to the last digit."""
    differences: list[Difference]

    def text(self) -> str:
        """The result as lines for people."""
        name, place = self.metric.upper(), "within" if self.within else "outside"
        same = (
            "to the last digit" if self.identical else f"{place} the recorded interval {self.low:.2f} - {self.high:.2f}"
        )
        lines = [
            f"trial {self.trial}: {name} {self.recorded:.2f} recorded, {self.now:.2f} now: {same}",
            str(self.folder),
        ]
        return "\n".join(
            [*lines, *(f"  {one.what}: {one.recorded} recorded, {one.now} now" for one in self.differences)]
        )


def reproduce(
    folder: SearchFolder, number: int, out: Path, say: Callable[[str], None] = lambda line: None
) -> Reproduction:
    """Trains the trial afresh in `out`, with the recorded configuration, seed and teacher, up to its recorded rung.

    Raises: InputError if there is no such trial, it never reached a rung, or `out` is in use.
    """
    # Its own errors: on the front a trial that was repeated has the means over its seeds.
    record = open_study(folder).record(find_trial(folder, number).number)
    if record.rung is None:
        raise InputError(f"{folder.name}: trial {number}: {record.state}, without a rung; expected one with results")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"-o: {out} is not empty; expected a new folder")
    spec = folder.spec()
    metrics = _run_again(spec, folder, record, out, say)
    errors = errors_of(spec.objectives)
    error = next((name for name in errors if not _is_within(record, name, metrics)), errors[0])
    low, high = interval(record, error)
    about = open_study(folder).about
    return Reproduction(
        search=folder.name,
        trial=number,
        folder=out,
        metric=error,
        recorded=value(record, error),
        low=low,
        high=high,
        now=metrics[f"eval/{error}"],
        within=_is_within(record, error, metrics),
        identical=not any(_errors_differ(record.metrics, metrics)),
        differences=[
            *_compared("versions", about["versions"], versions()),
            *_compared("hardware", about.get("hardware", {}), hardware()),
            *_compared("", {"git commit": about["git_commit"]}, {"git commit": git_commit()}),
            *_compared("", record.metrics, metrics, skip=OF_THE_MACHINE),
        ],
    )


def _run_again(
    spec: Spec, folder: SearchFolder, record: TrialRecord, out: Path, say: Callable[[str], None]
) -> dict[str, float]:
    """The metrics at the recorded rung, after a run that does what a lane of the search would do."""
    assert record.rung is not None
    device = torch.device("cuda" if torch.cuda.is_available() and spec.workers.use_gpu else "cpu")
    # Sums in another order differ in their last digits, and the number of threads decides the order.
    torch.set_num_threads(spec.workers.cpus)
    workplace = Workplace.prepared(spec, folder.store, device)
    precision = spec.workers.precision_on(gpu=device.type == "cuda")
    trained_by = record.number if record.trained_by is None else record.trained_by
    seed = derived_seed(spec.search.seed, trained_by)
    metrics: dict[str, float] = {}
    for report in workplace.run(record.number, {**record.config, **record.overrides}, seed, out, precision):
        say(f"trial {record.number}: {report.step} of {record.rung} updates")
        metrics = dict(report.metrics)
        if report.step >= record.rung:  # a trial that was stopped has nothing to compare beyond
            break
    return metrics


def _is_within(record: TrialRecord, error: str, metrics: dict[str, float]) -> bool:
    low, high = interval(record, error)
    return low <= metrics[f"eval/{error}"] <= high


def _errors_differ(recorded: dict[str, float], now: dict[str, float]) -> list[str]:
    # Ends of intervals are drawn, and follow from the errors.
    errors = [key for key in recorded if key.startswith("eval/") and not key.endswith(("_low", "_high"))]
    return [key for key in errors if recorded[key] != now.get(key)]


def _compared(
    group: str, recorded: dict[str, Any], now: dict[str, Any], skip: tuple[str, ...] = ()
) -> list[Difference]:
    keys = [key for key in dict.fromkeys([*recorded, *now]) if key not in skip]
    return [
        Difference(what=f"{group} {key}".strip(), recorded=_shown(recorded.get(key)), now=_shown(now.get(key)))
        for key in keys
        if _shown(recorded.get(key)) != _shown(now.get(key))
    ]


def _shown(found: Any) -> Any:
    return None if isinstance(found, float) and not isfinite(found) else found
