"""The study: the one truth about a search, in an Optuna storage. Everything else is computed from it, or is a mirror.

An Optuna trial carries params and attributes: `config`, `cost`, `state` (ours), `rung:<updates>` (metrics there),
`metrics` (of the last rung), `error`, `cause`, `attempts`, `overrides` (settings that a retry changed). A trial without
`state` is running, or was interrupted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from raysearch.front.objective import value as objective_value
from raysearch.front.trials import Cost, State, TrialRecord
from raysearch.spec.space import Config, Space
from raysearch.storage.journal import Journal
from raysearch.storage.studies import open_storage

FEWEST_JUDGED = 8
"""Complete trials before the importance of a setting means anything."""
_OPTUNA_STATE = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "infeasible": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


class Study:
    """Typed view of one Optuna study. Only the driver of a search writes it; anyone may read it."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._ids: dict[int, int] = {}
        storage = study._storage
        self.together = storage.together if isinstance(storage, Journal) else nullcontext
        """What is written within this context is written as one, where the storage can."""
        self.guard: Callable[[], None] = lambda: None
        """Called before each write: raises if this driver no longer holds the search's lease."""

    @classmethod
    def create(cls, storage: str | BaseStorage, name: str, objectives: list[str], about: dict[str, Any]) -> Study:
        """A new study; `about` is kept with it for ever (spec, seeds, versions).

        Raises: optuna.exceptions.DuplicatedStudyError if the name is taken.
        """
        study = optuna.create_study(
            storage=open_storage(storage), study_name=name, directions=["minimize"] * len(objectives)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(objectives)
        for key, value in about.items():
            study.set_user_attr(key, value)
        return cls(study)

    @classmethod
    def open(cls, storage: str, name: str) -> Study:
        """Raises: KeyError if there is no such study."""
        if "://" not in storage and not Path(storage).exists():
            raise KeyError(name)
        return cls(optuna.load_study(storage=open_storage(storage), study_name=name))

    @property
    def name(self) -> str:
        return self._study.study_name

    @property
    def about(self) -> dict[str, Any]:
        return self._study.user_attrs

    def note(self, key: str, value: Any) -> None:
        """Keep one more fact about the search as a whole."""
        self.guard()
        self._study.set_user_attr(key, value)

    def ask(
        self, space: Space, sampler: optuna.samplers.BaseSampler, known: Config | None = None
    ) -> tuple[int, Config]:
        """A new trial of the study: its number and configuration; `known` fixes some or all of its values."""
        self.guard()
        self._study.sampler = sampler
        if known:
            self._study.enqueue_trial({key: value for key, value in known.items() if key in _searched(space)})
        with self.together(), warnings.catch_warnings():
            # A start point may leave values to the sampler, and conditions hide others from it: both are meant.
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            config = space.suggest(trial)
            self._ids[trial.number] = trial._trial_id
            self._write(trial.number, "config", config)
        return trial.number, config

    def set_cost(self, number: int, cost: Cost) -> None:
        self._write(number, "cost", cost.model_dump())

    def report(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        """Metrics at a rung."""
        with self.together():
            self._write(number, f"rung:{updates}", metrics)
            self._write(number, "metrics", metrics)

    def attempt(self, number: int) -> int:
        """Count one more attempt at a trial; returns how many there were, this one included."""
        attempts = int(self._frozen(number).user_attrs.get("attempts", 0)) + 1
        self._write(number, "attempts", attempts)
        return attempts

    def override(self, number: int, overrides: Config) -> None:
        """Settings that later attempts at a trial use in place of its configuration's."""
        self._write(number, "overrides", overrides)

    def end(self, number: int, state: State, *, error: str | None = None, cause: str | None = None) -> None:
        """Tell the trial's last word. A trial that has had it keeps it: telling twice changes nothing."""
        with self.together():
            if "state" not in self._frozen(number).user_attrs:
                for key, value in (("error", error), ("cause", cause)):
                    if value is not None:
                        self._write(number, key, value)
                self._write(number, "state", state)
            self._tell(number)

    def _tell(self, number: int) -> None:
        record = self.record(number)
        values = None
        if record.state == "complete":
            values = [objective_value(record, objective) for objective in self._study.metric_names or []]
        self.guard()
        self._study.tell(number, values=values, state=_OPTUNA_STATE[record.state], skip_if_finished=True)

    def settle(self) -> list[tuple[int, Config]]:
        """Finish what a killed driver left half told; return the interrupted trials, which are to run again."""
        interrupted = []
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "state" in frozen.user_attrs:
                self._tell(frozen.number)
            elif "cost" in frozen.user_attrs:
                interrupted.append((frozen.number, frozen.user_attrs["config"]))
            else:
                # Killed between being asked and being costed: nothing was paid for it.
                self.end(frozen.number, "failed", error="interrupted before it was costed", cause="lost")
        return interrupted

    @property
    def asked(self) -> int:
        """Trials ever asked for, whatever became of them."""
        return len(self._study.get_trials(deepcopy=False))

    def trials(self) -> list[tuple[TrialRecord, dict[int, dict[str, float]]]]:
        """Every trial with its metrics by updates, by number."""
        return [(_record(frozen), _rungs(frozen)) for frozen in self._begun()]

    def records(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [_record(frozen) for frozen in self._begun()]

    def record(self, number: int) -> TrialRecord:
        return _record(self._frozen(number))

    def importances(self) -> dict[str, dict[str, float]]:
        """Objective -> searched value -> its share in how good trials differ from the others; they sum to 1.

        Empty before there are `FEWEST_JUDGED` complete trials. Values that only some trials have are left out.
        Source: Watanabe et al., PED-ANOVA, IJCAI 2023.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < FEWEST_JUDGED:
            return {}
        found = {}
        for index, objective in enumerate(self._study.metric_names or []):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shares = optuna.importance.get_param_importances(
                    self._study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=partial(_value, index),
                )
            found[objective] = {key: float(share) for key, share in shares.items()}
        return found

    def _begun(self) -> Iterator[FrozenTrial]:
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state != TrialState.WAITING and "config" in frozen.user_attrs:
                yield frozen

    def _write(self, number: int, key: str, value: Any) -> None:
        self.guard()
        self._study._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self._study._storage.get_trial_id_from_study_id_trial_number(
                self._study._study_id, number
            )
        return self._ids[number]

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study._storage.get_trial(self._id(number))


def _value(index: int, trial: FrozenTrial) -> float:
    return float(trial.values[index])


def _searched(space: Space) -> set[str]:
    return {"method", *space.distributions}


def _rungs(frozen: FrozenTrial) -> dict[int, dict[str, float]]:
    found = {int(k.removeprefix("rung:")): v for k, v in frozen.user_attrs.items() if k.startswith("rung:")}
    return dict(sorted(found.items()))


def _record(frozen: FrozenTrial) -> TrialRecord:
    attrs = frozen.user_attrs
    rungs = _rungs(frozen)
    return TrialRecord(
        number=frozen.number,
        state=attrs.get("state", "running"),
        config=attrs["config"],
        metrics=attrs.get("metrics", {}),
        cost=_cost(attrs),
        checkpoint=f"trials/{frozen.number:04d}/student" if rungs else None,
        error=attrs.get("error"),
        rung=max(rungs) if rungs else None,
        cause=attrs.get("cause"),
        overrides=attrs.get("overrides", {}),
        started_s=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
        ended_s=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
    )


def _cost(attrs: dict[str, Any]) -> Cost:
    """As known when the trial was suggested, unless its method measured it: pruning lands near its target."""
    known, metrics = attrs.get("cost", {}), attrs.get("metrics", {})
    return Cost(
        macs_g=metrics.get("cost/macs_g", known.get("macs_g", math.nan)),
        params_m=metrics.get("cost/params_m", known.get("params_m", math.nan)),
    )
