"""The study: the one truth about a search, kept in an Optuna storage. All else is computed from it, or mirrors it.

Beside its parameters, an Optuna trial carries these attributes: `config`, `cost`, `state` (ours, not Optuna's),
`rung:<updates>` (the metrics at that rung), `metrics` (those of the last rung), `error`, `cause`, `attempts`,
`overrides` (settings that a retry changed), `trained_by` (whose student it has), `gain` (what it promised when it was
suggested), `taus` (how past searches ranked the trials before it) and `judged_on` (how many those were). A trial
without `state` is running, or was interrupted.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from raysearch.errors import InputError
from raysearch.front.objective import value as objective_value
from raysearch.front.trials import Cost, State, TrialRecord
from raysearch.storage.folder import SearchFolder
from raysearch.storage.journal import Journal
from raysearch.storage.studies import open_storage, owns

if TYPE_CHECKING:
    from raysearch.spec.space import Config, Space

ENDED_BY = "ended_by"
"""What a study knows by this name is why its search ended before all trials that were asked for had run."""
TRAINED_BY = "trained_by"
"""What a trial knows by this name is the number of the trial whose student it has."""
REPEATS = "repeats"
"""What a trial knows by this name is the number of the trial that it repeats."""
TRUST = "trust"
"""What a study knows by this name is how far its models of size and latency are off."""
PASTS = "pasts"
"""What a study knows by this name is what it keeps of the past searches that it learns from, each packed."""
SHARED = "shared"
"""What a study knows by this name is what was trained once for all trials of a method, and what that took."""
HISTORY = "history"
"""What a study knows by this name is how its document changed, which it has from its first change on."""
JUDGED_ON = "judged_on"
"""What a trial knows by this name is how many trials its `taus` are of."""
AGAIN = "@"
"""Stands in the name of a parameter between its key and how often its choices or its range have become more."""
FEWEST_JUDGED = 8
"""Least complete trials with which the importance of a setting means anything."""
# Optuna's samplers learn nothing from trials in state FAIL, and should not from those that were refused or that broke.
_OPTUNA_STATE = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "infeasible": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


class Study:
    """A typed view of one Optuna study. Only the driver of a search writes it. Anyone may read it."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._ids: dict[int, int] = {}
        self._ended: dict[int, TrialRecord] = {}
        self.history: list[dict[str, Any]] = list(self.about.get(HISTORY, []))
        """What was changed of the document since the search began: for each time the number of the first trial that it
        holds for (`trial`), what was changed (`changes`), the values that settings had in earlier trials which are
        searched since (`held`), the keys that got more choices or a wider range (`rechosen`), and the document
        (`spec`)."""
        self.guard: Callable[[], None] = lambda: None
        """Called before each write. It raises if this driver no longer holds the search's lease."""
        self._within = False

    @classmethod
    def create(cls, storage: str | BaseStorage, name: str, objectives: list[str], about: dict[str, Any]) -> Study:
        """Makes a new study. `about` (spec, seeds, versions and so on) is kept with it for ever.

        Raises: optuna.exceptions.DuplicatedStudyError if the name is taken.
        """
        made = optuna.create_study(
            storage=open_storage(storage), study_name=name, directions=["minimize"] * len(objectives)
        )
        study = cls(made)
        study.fill(objectives, about)
        return study

    def fill(self, objectives: list[str], about: dict[str, Any]) -> None:
        """Keeps what the study lacks of its objectives' names and of `about`: its maker may have died in between."""
        with self.together(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(objectives)
            known = self.about
            for key in about:
                if key not in known:
                    self._study.set_user_attr(key, about[key])

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context in which all that is written is written as one, where the storage can do that."""
        storage = self._study._storage
        if self._within or not isinstance(storage, Journal):
            yield
            return
        with storage.together():
            # Nobody else can write a journal until the end, and so nobody can take the lease either.
            self.guard()
            self._within = True
            try:
                yield
            finally:
                self._within = False

    def _guard(self) -> None:
        if not self._within:
            self.guard()

    @property
    def is_whole(self) -> bool:
        """Whether its maker came as far as the last of what is kept about it."""
        return "teacher" in self.about

    @classmethod
    def open(cls, storage: str, name: str) -> Study:
        """The study of this name in a storage.

        Raises: KeyError if there is no such study.
        """
        # Optuna would make the file: looking for a study must leave no trace.
        if "://" not in storage and not Path(storage).exists():
            raise KeyError(name)
        return cls(optuna.load_study(storage=open_storage(storage), study_name=name))

    @classmethod
    def of(cls, folder: SearchFolder) -> Study:
        """The study of the search in a folder.

        Raises: KeyError if there is none; InputError if the one of its name is that of a search in another folder.
        """
        study = cls.open(folder.study_storage(), folder.study_name)
        if not owns(folder, study.about):
            raise taken(folder)
        return study

    @property
    def name(self) -> str:
        return self._study.study_name

    @property
    def storage(self) -> BaseStorage:
        return self._study._storage

    @property
    def objectives(self) -> list[str]:
        """Names of the objectives, in their order."""
        return list(self._study.metric_names or [])

    @property
    def about(self) -> dict[str, Any]:
        return self._study.user_attrs

    def note(self, key: str, value: Any) -> None:
        """Keeps one more fact about the search as a whole."""
        self._guard()
        self._study.set_user_attr(key, value)
        if key == HISTORY:
            self.history = list(value)
            self._ended.clear()

    @property
    def _names(self) -> dict[str, str]:
        """Names of the parameters that are not called as their key is.

        Optuna lets no parameter get other choices, and TPE stays within the range that a parameter had at first.
        """
        widened = Counter(key for entry in self.history for key in entry["rechosen"])
        return {key: f"{key}{AGAIN}{times}" for key, times in widened.items()}

    def ask(
        self, space: Space, sampler: optuna.samplers.BaseSampler, known: Config | None = None
    ) -> tuple[int, Config]:
        """Makes a new trial. Returns its number and configuration. `known` fixes some or all of its values."""
        self._guard()
        self._study.sampler = sampler
        if known:
            names = self._names
            searched = {key: value for key, value in known.items() if key in _searched(space)}
            self._study.enqueue_trial({names.get(key, key): value for key, value in searched.items()})
        with self.together(), warnings.catch_warnings():
            # Optuna warns where a start point leaves values to the sampler, or conditions hide some. Both are meant.
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            config = space.suggest(trial, self._names)
            self._ids[trial.number] = trial._trial_id
            self._write(trial.number, "config", config)
        return trial.number, config

    def repeat(self, record: TrialRecord, space: Space, sampler: optuna.samplers.BaseSampler) -> int:
        """Makes a new trial with the settings of another one. Returns its number."""
        with self.together():
            number, _ = self.ask(space, sampler, record.config)
            # Whatever a sampler makes of conditions: the settings are those.
            self._write(number, "config", record.config)
            self._write(number, REPEATS, record.number)
            self.set_cost(number, record.cost)
        return number

    @property
    def asked_for(self) -> int:
        """Number of trials that count among those that a search is asked for: neither refused ones nor repeats."""
        return sum(not record.refused and record.repeats is None for record in self.records())

    def set_cost(self, number: int, cost: Cost) -> None:
        """Keeps the cost of a trial, as known when it was suggested."""
        self._write(number, "cost", cost.model_dump())

    def set_gain(self, number: int, gain: float) -> None:
        """Keeps by what share the hypervolume was expected to grow when a trial was suggested."""
        self._write(number, "gain", gain)

    def set_taus(self, number: int, taus: list[float], judged_on: int) -> None:
        """Keeps how each past search that is learned from ranked so many trials before this one. NaN is not known."""
        self._write(number, "taus", [None if math.isnan(tau) else tau for tau in taus])
        self._write(number, JUDGED_ON, judged_on)

    def taus(self) -> list[float]:
        """How each past search that is learned from ranks the trials of this one, as known last. Empty without any."""
        known = [frozen.user_attrs["taus"] for frozen in self._begun() if "taus" in frozen.user_attrs]
        return [math.nan if tau is None else tau for tau in known[-1]] if known else []

    @property
    def judged_on(self) -> int:
        """How many trials those taus are of. Earlier versions did not keep it: 0."""
        known = [int(frozen.user_attrs.get(JUDGED_ON, 0)) for frozen in self._begun() if "taus" in frozen.user_attrs]
        return known[-1] if known else 0

    def gains(self) -> list[float | None]:
        """For each trial that was not refused, by what share the hypervolume was expected to grow; None if unknown."""
        begun = (frozen.user_attrs for frozen in self._begun())
        return [attrs.get("gain") for attrs in begun if attrs.get("state") != "infeasible"]

    def report(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        """Keeps the metrics of a trial at a rung."""
        with self.together():
            self._write(number, f"rung:{updates}", metrics)
            self._write(number, "metrics", metrics)

    def attempt(self, number: int) -> int:
        """Counts one more attempt at a trial. Returns how many there were, this one included."""
        attempts = int(self._frozen(number).user_attrs.get("attempts", 0)) + 1
        self._write(number, "attempts", attempts)
        return attempts

    def share_training(self, number: int, trained_by: int) -> None:
        """Keeps that a trial has the student of another one."""
        self._write(number, TRAINED_BY, trained_by)

    def override(self, number: int, overrides: Config) -> None:
        """Keeps settings that later attempts at a trial use in place of its configuration's."""
        self._write(number, "overrides", overrides)

    def end(self, number: int, state: State, *, error: str | None = None, cause: str | None = None) -> None:
        """Ends a trial. A trial that has ended keeps its state: ending it twice changes nothing."""
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
            values = [objective_value(record, objective) for objective in self.objectives]
        self._guard()
        self._study.tell(number, values=values, state=_OPTUNA_STATE[record.state], skip_if_finished=True)

    def settle(self) -> list[tuple[int, Config]]:
        """Finishes what a killed driver left half told. Returns the interrupted trials, which are to run again."""
        interrupted = []
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if "config" not in frozen.user_attrs:
                self._forget(frozen)
            elif "state" in frozen.user_attrs:
                self._tell(frozen.number)
            elif "cost" in frozen.user_attrs:
                interrupted.append((frozen.number, self._record(frozen).config))
            else:
                # The driver was killed before the trial had a cost, so that nothing was paid for it.
                self.end(frozen.number, "failed", error="interrupted before it was costed", cause="lost")
        return interrupted

    def _forget(self, frozen: FrozenTrial) -> None:
        """Ends a trial within whose `ask` the driver was killed. It has no configuration, so it is in no records.

        Optuna would deal out one that still waits in the place of the next.
        """
        self._guard()
        if frozen.state == TrialState.WAITING:
            # Only from one that began does Optuna accept that it ended.
            self._study._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
        self._study.tell(frozen.number, state=TrialState.FAIL, skip_if_finished=True)

    @property
    def asked(self) -> int:
        """Number of trials ever made, whatever became of them."""
        return len(self._study.get_trials(deepcopy=False))

    def trials(self) -> list[tuple[TrialRecord, dict[int, dict[str, float]]]]:
        """Every trial in order of number, with its metrics at each rung by updates."""
        return [(self._record(frozen), _rungs(frozen)) for frozen in self._begun()]

    def records(self) -> list[TrialRecord]:
        """Every trial, in order of number."""
        return [self._record(frozen) for frozen in self._begun()]

    def record(self, number: int) -> TrialRecord:
        """The trial of this number."""
        return self._record(self._frozen(number))

    def importances(self) -> dict[str, dict[str, float]]:
        """How much each searched setting decides about each objective, as shares that sum to 1.

        A share says how well the setting tells good trials from the others. Settings that only some trials have are
        left out. There are no shares before `FEWEST_JUDGED` trials are complete. Those of MACs and parameters are exact
        and were worked out from the space when the search began; searches of earlier versions estimate them too.
        Source: Watanabe et al., PED-ANOVA, IJCAI 2023.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < FEWEST_JUDGED:
            return {}
        found = {}
        exact: dict[str, dict[str, float]] = self.about.get("cost_importances", {})
        for index, objective in enumerate(self.objectives):
            if objective in exact:
                found[objective] = exact[objective]
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shares = optuna.importance.get_param_importances(
                    self._study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=partial(_value, index),
                )
            found[objective] = {key.partition(AGAIN)[0]: float(share) for key, share in shares.items()}
        return found

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        """The trial, with the values of settings that were fixed when it ran and are searched now.

        One that has ended does not change any more. It is made once: a suggestion looks at all of them.
        """
        if frozen.number in self._ended:
            return self._ended[frozen.number]
        record = self._widened(_record(frozen))
        if frozen.state.is_finished():
            self._ended[frozen.number] = record
        return record

    def _widened(self, record: TrialRecord) -> TrialRecord:
        later = [entry["held"] for entry in self.history if record.number < entry["trial"]]
        # Of several values of one setting the one that it had first is that of the trial.
        fixed = {key: value for held in reversed(later) for key, value in held.get(record.method, {}).items()}
        return record.model_copy(update={"config": {**record.config, **fixed}}) if fixed else record

    def _begun(self) -> Iterator[FrozenTrial]:
        for frozen in self._study.get_trials(deepcopy=False):
            # Optuna queues start points as waiting trials, which have not begun.
            if frozen.state != TrialState.WAITING and "config" in frozen.user_attrs:
                yield frozen

    def _write(self, number: int, key: str, value: Any) -> None:
        self._guard()
        self._study._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        # Kept, since each look-up asks the storage.
        if number not in self._ids:
            self._ids[number] = self._study._storage.get_trial_id_from_study_id_trial_number(
                self._study._study_id, number
            )
        return self._ids[number]

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study._storage.get_trial(self._id(number))


def taken(folder: SearchFolder) -> InputError:
    """What is told to a search that is not the first of its name in a database."""
    name, used = folder.study_name, "already used in the database of the study, by a search whose folder is not"
    return InputError(f"{name}: {used} {folder.path}; expected a new name, or the folder of that search")


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
        repeats=attrs.get(REPEATS),
        trained_by=attrs.get(TRAINED_BY),
        started_s=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
        ended_s=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
    )


def _cost(attrs: dict[str, Any]) -> Cost:
    """The cost that the method measured, since pruning only lands near its target, or else the one known beforehand."""
    known, metrics = attrs.get("cost", {}), attrs.get("metrics", {})
    measured = {key: metrics.get(f"cost/{key}") for key in ("macs_g", "params_m")}
    # A method of someone's own may measure what is no number.
    counted = {key: value if _is_number(value) else known.get(key) for key, value in measured.items()}
    return Cost(**{**known, **counted})


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
