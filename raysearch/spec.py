"""The search document: one YAML file that says what is searched, on what, by what. Imports neither torch nor ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from raysearch.corpora.settings import CorpusSettings
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError, did_you_mean, first_fault
from raysearch.methods.table import load_method
from raysearch.search.space import Config, Distribution, Space, Value, check_keys, has_setting, setting_keys
from raysearch.settings import Settings
from raysearch.tasks.settings import TaskSettings
from raysearch.training.settings import TeacherSettings

COST_OBJECTIVES = ("macs", "params")
SETTINGS_GROUPS = (
    *("student", "targets", "prediction", "distillation", "ctc", "pruning"),
    *("adapter", "backend", "verification", "augmentation", "training"),
)


class MethodChoice(Settings):
    choice: list[str] = Field(min_length=1)
    """Names of methods; the search decides between them."""


class Constraints(Settings):
    """Hard limits, checked when a configuration is suggested: nothing above them is ever trained."""

    macs_g: float | None = Field(None, gt=0)
    """GMAC of the encoder, summed over the 32 utterance lengths of SUPERB's profiler."""
    params_m: float | None = Field(None, gt=0)
    """Millions of parameters of the encoder."""


class SearchSettings(Settings):
    sampler: Literal["auto", "ehvi", "random", "tpe", "gp", "nsga2"] = "auto"
    """`ehvi` models the error and knows the cost; `auto` chooses by the number of trials and says which and why."""
    trials: PositiveInt = 24
    """Configurations to run. What is over budget or already known costs nothing and does not count."""
    scheduler: Literal["fifo", "pareto-asha"] = "fifo"
    """`fifo` runs every trial to its budget; `pareto-asha` stops the dominated at rungs."""
    seed: int = Field(0, ge=0)
    """Seed of the whole search; each trial's own is derived from it."""
    updates: PositiveInt = 400
    """A trial's budget in updates."""
    updates_of: dict[str, PositiveInt] = {}
    """Method -> its trials' budget instead: methods whose updates cost unlike seconds compare at equal seconds."""
    rungs: list[float] = [1.0]
    """Shares of the budget after which a trial is evaluated on dev; the last is 1."""
    start: list[dict[str, Value]] = []
    """Known points to try first, as dotted keys; what a point leaves out is drawn."""

    @field_validator("rungs")
    @classmethod
    def _rising_to_one(cls, rungs: list[float]) -> list[float]:
        if not rungs or sorted(set(rungs)) != rungs or rungs[0] <= 0 or rungs[-1] != 1.0:
            raise ValueError(f"{rungs}; expected rising shares above 0 that end with 1.0")
        return rungs


class WorkerSettings(Settings):
    lanes: PositiveInt = 1
    """Trials that run at the same time."""
    num_workers: PositiveInt = 1
    """Ray Train workers of one lane; more than one train a trial together (DDP)."""
    use_gpu: bool | Literal["auto"] = "auto"
    """`auto`: a GPU for each worker where the cluster has enough."""
    cpus: PositiveInt = 1
    """CPUs of each worker, and its threads."""
    readers: int = Field(0, ge=0)
    """Processes of each worker that decode and batch speech ahead of it. They change no result. Not counted in `cpus`;
    0 is fastest where the model runs on the same CPUs."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU, fp32 on a CPU."""

    def precision_on(self, *, gpu: bool) -> str:
        """`fp32`, `bf16` or `fp16`."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if gpu else "fp32"


class Spec(Settings):
    """A search document, checked."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the search, and of its folder."""
    corpus: CorpusSettings
    teacher: TeacherSettings
    task: TaskSettings | list[TaskSettings]
    """What a student is judged on; several give several errors in each trial."""
    method: str | MethodChoice
    space: dict[str, Distribution] = {}
    constraints: Constraints = Constraints()
    objectives: list[str] = ["macs", "per"]
    search: SearchSettings = SearchSettings()
    workers: WorkerSettings = WorkerSettings()
    student: dict[str, Any] = {}
    """Fixed settings of the student, for every trial."""
    targets: dict[str, Any] = {}
    """Fixed settings of the label set."""
    prediction: dict[str, Any] = {}
    """Fixed settings of masked prediction."""
    distillation: dict[str, Any] = {}
    """Fixed settings of feature distillation."""
    ctc: dict[str, Any] = {}
    """Fixed settings of supervised pruning."""
    pruning: dict[str, Any] = {}
    """Fixed settings of pruning."""
    adapter: dict[str, Any] = {}
    """Fixed settings of adapters."""
    backend: dict[str, Any] = {}
    """Fixed settings of a speaker back end."""
    verification: dict[str, Any] = {}
    """Fixed settings of the loss on speakers."""
    augmentation: dict[str, Any] = {}
    """Fixed settings of how training speech is disturbed."""
    training: dict[str, Any] = {}
    """Fixed settings of training."""

    @model_validator(mode="after")
    def _objectives_measured(self) -> Spec:
        errors = [task.metric for task in self.tasks]
        if not errors:
            raise ValueError("task: []; expected at least one")
        for metric in errors:
            if errors.count(metric) > 1:
                raise ValueError(f"task: two that give {metric}; expected one for each error")
        measured = {*COST_OBJECTIVES, *errors}
        for objective in self.objectives:
            if objective not in measured:
                raise ValueError(f"objectives: {objective!r}; expected one of {', '.join(sorted(measured))}")
        costs = [objective for objective in self.objectives if objective in COST_OBJECTIVES]
        if len(self.objectives) != 2 or len(costs) != 1:
            raise ValueError(f"objectives: {self.objectives}; expected a cost (macs or params) and an error")
        return self

    @property
    def tasks(self) -> list[Any]:
        return self.task if isinstance(self.task, list) else [self.task]

    @property
    def methods(self) -> list[str]:
        return [self.method] if isinstance(self.method, str) else self.method.choice

    @property
    def search_space(self) -> Space:
        return Space(self.methods, self.space)

    def updates(self, method: str) -> int:
        """The budget of a method's trials."""
        return self.search.updates_of.get(method, self.search.updates)

    def rung_updates(self, method: str) -> tuple[int, ...]:
        """Updates after which a method's trials report."""
        return tuple(max(1, round(share * self.updates(method))) for share in self.search.rungs)

    def unsearched(self, method: str, key: str) -> Any:
        """What the method's trials have for a setting that the search does not draw."""
        group, _, name = key.partition(".")
        given = getattr(self, group)
        return given[name] if name in given else load_method(method).Settings().model_dump()[group][name]

    @property
    def digest(self) -> str:
        """Hash of all but the name and the workers: two searches with the same digest ask the same question."""
        document = self.model_dump(mode="json", by_alias=True, exclude={"name", "workers"})
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]

    def settings(self, config: Config) -> Any:
        """The settings of the configuration's method.

        Raises: InputError naming the key.
        """
        method = str(config["method"])
        nested: dict[str, Any] = {}
        for group in SETTINGS_GROUPS:
            if has_setting(method, group):
                fixed = getattr(self, group).items()
                nested[group] = {key: value for key, value in fixed if has_setting(method, f"{group}.{key}")}
        for key, value in config.items():
            if key != "method":
                *path, last = key.split(".")
                at = nested
                for part in path:
                    at = at.setdefault(part, {})
                at[last] = value
        try:
            return load_method(method).Settings.model_validate(nested)
        except ValidationError as err:
            raise InputError(first_fault(err)) from err

    def student_config(self, config: Config, teacher: AnyConfig) -> AnyConfig:
        """The configuration's student, known before it is trained."""
        method = load_method(str(config["method"]))
        return method.student(self.settings(config), teacher)


def load_spec(path: Path, overrides: Iterable[str] = (), *, name: str | None = None) -> Spec:
    """A spec from a YAML file, with `a.b=v` overrides.

    Raises: InputError with the file, the key, what was found and what was expected.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as err:
        raise InputError(f"{path}: {err.strerror}; expected a search document") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: not YAML ({' '.join(str(err).split())}); expected a search document") from err
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: {type(document).__name__}; expected a mapping with name, corpus, teacher, task, method"
        )
    for one in overrides:
        override(document, one)
    if name is not None:
        document["name"] = name
    return parse_spec(document, where=str(path))


def parse_spec(document: Mapping[str, Any], *, where: str) -> Spec:
    """A spec from a document; `where` names it in errors."""
    try:
        spec = Spec.model_validate(document)
        for method in spec.methods:
            load_method(method)
        check_keys(spec.space, spec.methods)
        _check_groups(spec)
        _check_values(spec)
        _check_widths(spec)
        _check_start(spec)
    except ValidationError as err:
        raise InputError(f"{where}: {first_fault(err)}") from err
    except InputError as err:
        raise InputError(f"{where}: {err}") from err
    return spec


def differences(old: Spec, new: Spec) -> dict[str, str]:
    """`OLD -> NEW` by dotted key, for every key in which two documents differ."""
    before, after = (dict(_flat(spec.model_dump(mode="json", by_alias=True, exclude={"name"}))) for spec in (old, new))
    keys = dict.fromkeys([*before, *after])
    return {
        key: f"{before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if before.get(key) != after.get(key)
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def override(document: dict[str, Any], change: str) -> None:
    """Puts `a.b=v` into a document. Raises: InputError"""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise InputError(f"--set: {change!r}; expected KEY=VALUE, e.g. search.trials=8")
    # Keys of the space are dotted themselves: they are one step below `space`.
    path = key.split(".", 1) if key.startswith("space.") else key.split(".")
    at: Any = document
    for part in path[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise InputError(f"--set: {key}: {part} is not a mapping; expected a key of the search document")
    try:
        at[path[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise InputError(f"--set: {key}: {text!r}; expected a YAML value") from err


def _check_groups(spec: Spec) -> None:
    """Fixed settings must be known to a method of the spec, and not be searched as well."""
    for group in SETTINGS_GROUPS:
        for key in getattr(spec, group):
            dotted = f"{group}.{key}"
            if not any(has_setting(method, dotted) for method in spec.methods):
                known = [name for method in spec.methods for name in _fields(method, group)]
                expected = f"one of {', '.join(dict.fromkeys(known)) or 'none'}{did_you_mean(key, known)}"
                raise InputError(f"{dotted}: unknown key; expected {expected}")
            if dotted in spec.space:
                raise InputError(f"{dotted}: fixed here and searched under space; expected one of the two")


def _fields(method: str, group: str) -> list[str]:
    prefix = f"{group}."
    return [key.removeprefix(prefix) for key in setting_keys(method) if key.startswith(prefix)]


def _check_values(spec: Spec) -> None:
    """Each fixed or searched value must be one that its setting takes; `_check_widths` looks at pairs."""
    given: list[tuple[str, str, Any]] = []
    for group in SETTINGS_GROUPS:
        given += [(key := f"{group}.{name}", key, value) for name, value in getattr(spec, group).items()]
    for key, distribution in spec.space.items():
        if distribution.choice is not None:
            given += [(key, f"space.{key}.choice[{i}]", value) for i, value in enumerate(distribution.choice)]
        else:
            given += [(key, f"space.{key}", bound) for bound in distribution.int_ or distribution.float_ or ()]
    for method in spec.methods:
        for key, where, value in given:
            if has_setting(method, key) and (fault := _fault(method, key, value)):
                raise InputError(f"{where}{fault}")


def _fault(method: str, key: str, value: Any) -> str:
    """What a setting has against a value, after its key; empty if nothing."""
    nested = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    try:
        load_method(method).Settings.model_validate(nested)
    except ValidationError as err:
        fault = first_fault(err)
        # A fault of the whole group, beside the other settings' defaults, is none of the value's own.
        return fault.removeprefix(key) if fault.startswith(key) else ""
    return ""


def _check_widths(spec: Spec) -> None:
    """Every width in the space must suit every number of heads: an impossible pair would waste suggestions."""
    widths, where = _values(spec, "student.width")
    heads, _ = _values(spec, "student.heads")
    for position, width in enumerate(widths):
        for divisor, what in [*((h, "student.heads") for h in heads), (16, "position_conv.groups")]:
            if int(width) % int(divisor):
                near = _near_multiple(int(width), {int(h) for h in heads} | {16})
                key = where.format(position)
                raise InputError(f"{key}: {width}; expected a multiple of {what} = {divisor}, e.g. {near}")


def _values(spec: Spec, key: str) -> tuple[list[Any], str]:
    """The values a key can take, and where to point at one of them."""
    if key in spec.space:
        distribution = spec.space[key]
        return distribution.values(), f"space.{key}.choice[{{}}]" if distribution.choice else f"space.{key}"
    return list({spec.unsearched(method, key) for method in spec.methods if has_setting(method, key)}), key


def _near_multiple(value: int, divisors: set[int]) -> int:
    from math import lcm

    common = lcm(*divisors)
    return max(common, round(value / common) * common)


def _check_start(spec: Spec) -> None:
    for method in spec.search.updates_of:
        expected = f"one of {', '.join(spec.methods)}"
        _refuse_unless(method in spec.methods, "search.updates_of", method, expected)
    for position, point in enumerate(spec.search.start):
        for key, value in point.items():
            where = f"search.start[{position}].{key}"
            if key == "method":
                _refuse_unless(value in spec.methods, where, value, f"one of {', '.join(spec.methods)}")
            elif key not in spec.space:
                raise InputError(f"{where}: not searched; expected one of {', '.join(spec.space)}")
            elif (choices := spec.space[key].choice) is not None:
                _refuse_unless(value in choices, where, value, f"one of {choices}")
            else:
                low, high = spec.space[key].int_ or spec.space[key].float_ or (0, 0)
                fits = isinstance(value, int | float) and low <= value <= high
                _refuse_unless(fits, where, value, f"{low} to {high}")


def _refuse_unless(fits: bool, where: str, value: Value, expected: str) -> None:
    if not fits:
        raise InputError(f"{where}: {value!r}; expected {expected}")
