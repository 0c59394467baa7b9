"""A search's trials as a pandas data frame: one row a trial, its columns named as in the search's document."""

from __future__ import annotations

from typing import Any

import pandas as pd

from raysearch.front.document import SearchDocument
from raysearch.front.front import Marked
from raysearch.front.trials import TrialRecord

SECONDS = "cost/seconds"
BEFORE = ("number", "state", "method")
COST = ("macs_g", "params_m")
CHARGED = ("size_mb", "latency_ms", "latency_low_ms", "latency_high_ms")
AFTER = ("mark", "rung", SECONDS, "checkpoint", "cause", "error")


def trials_frame(document: SearchDocument) -> pd.DataFrame:
    """All trials, by number.

    Columns: `number`, `state`, `method`; each setting by its dotted key; `macs_g` in GMAC and `params_m` in millions,
    and where the search asked for them `size_mb` and `latency_ms` with its 5th and 95th percentile;
    each error in percent with the ends of its 95 % interval, on dev (`eval/per`, `eval/per_low`, `eval/per_high`) and
    on test (`test/per`, ...); `mark`, which says how a complete trial stands to the front; `rung` in updates,
    `cost/seconds` of its workers, `checkpoint`; and `cause` and `error` of one that went wrong.
    What a trial does not have is missing from its row.
    """
    columns = [*BEFORE, *_settings(document), *COST, *_charged(document), *_errors(document), *AFTER]
    marks = document.marked()
    return pd.DataFrame([_row(trial, marks.get(trial.number)) for trial in document.trials], columns=columns)


def front_frame(document: SearchDocument) -> pd.DataFrame:
    """The rows of the trials on the front, by MACs."""
    trials = trials_frame(document).set_index("number", drop=False)
    return trials.loc[document.front].reset_index(drop=True)


def _row(trial: TrialRecord, mark: Marked | None) -> dict[str, Any]:
    """All that is known of a trial; the frame takes those of its columns."""
    return {
        **trial.config,
        **trial.metrics,
        "number": trial.number,
        "state": trial.state,
        "method": trial.method,
        "macs_g": trial.cost.macs_g,
        "params_m": trial.cost.params_m,
        **{key: getattr(trial.cost, key) for key in CHARGED},
        "mark": mark.mark.value if mark else None,
        "rung": trial.rung,
        "checkpoint": trial.checkpoint,
        "cause": trial.cause,
        "error": trial.error,
    }


def _charged(document: SearchDocument) -> list[str]:
    return [key for key in CHARGED if any(getattr(trial.cost, key) is not None for trial in document.trials)]


def _settings(document: SearchDocument) -> list[str]:
    """Keys of all settings but the method, in order of first sight."""
    keys = dict.fromkeys(key for trial in document.trials for key in trial.config)
    return [key for key in keys if key != "method"]


def _errors(document: SearchDocument) -> list[str]:
    """Metrics that are objectives or have an interval, each with the ends of its own, in order of first sight."""
    measured = dict.fromkeys(key for trial in document.trials for key in trial.metrics)
    objectives = [f"eval/{objective}" for objective in document.objectives]
    names = dict.fromkeys([*objectives, *(key.removesuffix("_low") for key in measured if key.endswith("_low"))])
    columns = [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
    return [column for column in columns if column in measured]
