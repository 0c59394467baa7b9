"""The search document: one YAML file that asks for a search. `Spec` is such a document once it has been checked.

This file imports neither torch nor ray, so that documents can be checked fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from raysearch.corpora.settings import CorpusSettings
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import check_size
from raysearch.errors import InputError, quoted
from raysearch.exported.device import DeviceSettings
from raysearch.exported.settings import DeploySettings
from raysearch.files.digest import document_digest
from raysearch.methods.needs import has_rung_zero, shares_one
from raysearch.methods.table import load_method
from raysearch.settings import Count, Seed, Settings, Updates
from raysearch.spec.budget import ENDLESS, BudgetSettings
from raysearch.spec.ending import RepeatSettings, StopSettings, TimeoutSettings
from raysearch.spec.notices import NoticeSettings
from raysearch.spec.space import SHARED_GROUPS, Config, Distribution, Space, Value, has_setting, setting_keys
from raysearch.tasks.settings import TaskSettings
from raysearch.teachers.settings import TeacherSettings, TrainedTeacher

COST_OBJECTIVES = ("macs", "params", "size", "latency")
CHARGES = {"size": "size_mb", "latency": "latency_ms"}
"""Costs that are known only once a shape was exported and measured, with the names of their limits."""
ERROR_OBJECTIVES = ("wer", "per", "eer", "error")
LATER_OF_TASKS = {
    "mask_time": 0,
    "mask_channels": 0,
    "dropout": 0,
    "layer_drop": 0,
    "frozen": 0,
    "segments": 0,
    "head": "linear",
    "loss": "aam",
    "balanced": False,
}
"""Settings that tasks have got since digests of documents were kept, with the values at which they do nothing. So set,
they are no part of a digest, and documents from before keep theirs."""

LATER_OF_SEARCH = ("budget", "stop", "repeats", "timeout", "learn_from")
"""Settings of the search that documents have got since. Left out, they are no part of a digest either."""

LATER_GROUPS = ("supernet", "deploy")
"""Groups of settings that documents have got since. Empty, they are no part of a digest either."""

LATER_LIMITS = ("size_mb", "latency_ms")
"""Limits that documents have got since. Left out, they are no part of a digest either."""


def _macs_and_error(given: dict[str, Any]) -> list[str]:
    """The objectives of a document that names none: MACs, and the error of its task, of several the first one's."""
    tasks = given["task"] if isinstance(given["task"], list) else [given["task"]]
    return ["macs", *(task.metric for task in tasks[:1])]


def _from_anywhere(source: str) -> str:
    """A file or folder with an absolute path, since a search is resumed from other folders. Names and URIs stay."""
    if not source.strip():
        raise ValueError("empty; expected a file written by raysearch record, or a search by its name, folder or URI")
    is_path = "://" not in source and ("/" in source or source.startswith("~") or source.endswith(".json.gz"))
    return str(Path(source).expanduser().absolute()) if is_path else source


PastSource = Annotated[str, AfterValidator(_from_anywhere)]
"""Where a past search is: a file, a folder, a name or a URI."""


class MethodChoice(Settings):
    """Several methods, between which the search decides."""

    choice: list[str] = Field(min_length=1, max_length=100)
    """Names of the methods between which the search decides."""


class Constraints(Settings):
    """Hard limits. They are checked when a configuration is suggested, so nothing above them is ever trained."""

    macs_g: float | None = Field(None, gt=0)
    """The most GMAC of an encoder, summed over the 32 utterance lengths of SUPERB's profiler."""
    params_m: float | None = Field(None, gt=0)
    """The most parameters of an encoder, in millions."""
    size_mb: float | None = Field(None, gt=0)
    """The largest ONNX file of a student with its head, in MB of a million bytes."""
    latency_ms: float | None = Field(None, gt=0)
    """The longest latency of that file on the `device`, in milliseconds."""


class SearchSettings(Settings):
    """How many trials there are, how long each is, and who suggests and stops them."""

    sampler: Literal["auto", "ehvi", "random", "tpe", "gp", "nsga2"] = "auto"
    """Who suggests configurations. `ehvi` models the error and knows the cost. `auto` chooses a sampler by the number
    of trials, and says which and why.
    """
    trials: Count = 24
    """Number of configurations to run. One that is over a limit or already known costs nothing and does not count. With
    a `budget` and without this key they are as many as the budget pays for.
    """
    budget: BudgetSettings | None = None
    """What the search may spend. No trial is started that is not expected to end within it."""
    stop: StopSettings | None = None
    """When the search ends because its front stands still. `{}` takes the defaults. It needs the sampler `ehvi`."""
    repeats: RepeatSettings | None = None
    """How often members of the front run again, under other seeds, at the end and beside `trials`. Front, intervals,
    `pick` and the model of the error then take means over the seeds. `{}` takes the defaults."""
    timeout: TimeoutSettings | None = None
    """When a trial has taken too long. It ends with its checkpoint kept, and has failed by the cause `timeout`."""
    scheduler: Literal["fifo", "pareto-asha"] = "fifo"
    """Who stops trials. `fifo` runs every trial to its budget; `pareto-asha` stops dominated trials at rungs."""
    seed: Seed = 0
    """Seed of the whole search, from which the seed of each trial is derived."""
    updates: Updates = 400
    """Budget of a trial in updates."""
    updates_of: dict[str, Updates] = {}
    """Budgets in updates, by method, of methods whose trials have another budget than `updates`. So methods can be
    compared at equal seconds although their updates differ in seconds.
    """
    rungs: list[float] = Field([1.0], max_length=100)
    """Shares of the budget after which a trial is evaluated on dev: its rungs. The last share is 1. At 0 a student is
    judged before it is trained, which takes a method whose students are whole models then; a trial that `pareto-asha`
    leaves there is complete. With [0] alone no trial is trained at all.
    """
    keep_features_gb: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """Gigabytes of disk for the hidden states that a trial asks of its teacher. So much or less is kept for all trials;
    for more, and with 0, the teacher runs in every update. `auto` keeps them where all trials together hear more than
    the training split once, up to half of the free disk.
    """
    start: list[dict[str, Value]] = Field([], max_length=10_000)
    """Configurations to try first, as dotted keys. Keys that one of them leaves out are drawn."""
    learn_from: list[PastSource] | None = Field(None, min_length=1, max_length=100)
    """Past searches that the model of the error learns from: files written by `raysearch record`, names of searches in
    the same storage, their folders, or URIs of either. One that misleads counts nothing. It needs the sampler `ehvi`.
    """

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_are_paid_for(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("budget") and given.get("trials") is None:
            return {**given, "trials": ENDLESS}
        return given

    @model_validator(mode="after")
    def _model_for_stop(self) -> SearchSettings:
        if self.stop and self.sampler not in ("auto", "ehvi"):
            raise ValueError(f"stop: with sampler {self.sampler}; expected sampler ehvi or auto, which knows the gain")
        return self

    @model_validator(mode="after")
    def _model_for_pasts(self) -> SearchSettings:
        if self.learn_from and self.sampler not in ("auto", "ehvi"):
            raise ValueError(
                f"learn_from: with sampler {self.sampler}; expected sampler ehvi or auto, which has a model"
            )
        return self

    @field_validator("rungs")
    @classmethod
    def _rising_to_one(cls, rungs: list[float]) -> list[float]:
        if rungs != [0.0] and (not rungs or sorted(set(rungs)) != rungs or rungs[0] < 0 or rungs[-1] != 1.0):
            raise ValueError(f"{rungs}; expected rising shares from 0 on that end with 1.0, or [0] alone")
        return rungs


class WorkerSettings(Settings):
    """What trials run on."""

    lanes: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = 1
    """Number of trials that run at the same time, each on a lane. Lanes that find no room wait for it. `auto` is as
    many as fit the cluster now, at least one: they become more when nodes join and fewer when nodes leave.
    """
    num_workers: int = Field(1, ge=1, le=10_000)
    """Ray Train workers of one lane. Several workers train each trial together (DDP), and judge it together."""
    use_gpu: bool | Literal["auto"] = "auto"
    """Whether each worker gets a GPU. `auto` gives it one if the cluster has enough for all workers."""
    cpus: int = Field(1, ge=1, le=10_000)
    """CPUs of each worker, and its threads."""
    readers: int = Field(0, ge=0, le=1_000)
    """Processes of each worker that decode and batch speech ahead of it. They change no result, and are not counted in
    `cpus`. 0 is fastest where the model runs on the same CPUs.
    """
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of training, and of students while they are judged. `auto` is bf16 on a GPU and fp32 on a CPU."""

    @property
    def fixed_lanes(self) -> int | None:
        """Number of lanes if the document says it. None if they are as many as fit."""
        return None if self.lanes == "auto" else self.lanes

    @property
    def fewest_lanes(self) -> int:
        """Number of lanes that there are at least: of as many as fit, one."""
        return self.fixed_lanes or 1

    def precision_on(self, *, gpu: bool) -> str:
        """The precision with `auto` decided: `fp32`, `bf16` or `fp16`."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if gpu else "fp32"


class Spec(Settings):
    """A search document, checked."""

    # A method from elsewhere may bring groups of settings that are no fields here, so unknown groups are let in. They
    # are kept in the same form as the fields from `student` to `training`.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the search, and of its folder."""
    corpus: CorpusSettings
    """The speech that teachers and students learn from and are judged on."""
    teacher: TeacherSettings
    """The encoder that students imitate."""
    task: TaskSettings | list[TaskSettings]
    """What a student is judged on. Several tasks give several errors in each trial."""
    method: str | MethodChoice
    """The way from teacher to student, or a choice of several. `MODULE:CLASS` names one that is not in the table."""
    space: dict[str, Distribution] = {}
    """Settings that the search draws, each with its distribution, by dotted key."""
    constraints: Constraints = Constraints()
    """Hard limits on cost: no student above them is trained."""
    objectives: list[str] = Field(default_factory=_macs_and_error)
    """Numbers to minimise, two or three: one or two costs (`macs`, `params`, `size`, `latency`) and the errors of one
    or two tasks (`wer`, `per`, `eer`, `error`). By default they are `macs` and the error of the task, of several tasks
    that of the first.
    """
    search: SearchSettings = SearchSettings()
    """How many trials there are, how long each is, and who suggests and stops them."""
    workers: WorkerSettings = WorkerSettings()
    """What trials run on."""
    device: DeviceSettings | None = None
    """What latency is measured on. `{}` takes the defaults, as do documents that ask for a latency without it."""
    notices: NoticeSettings | None = None
    """Who is told how the search goes. `{}` takes the defaults."""
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
    supernet: dict[str, Any] = {}
    """Fixed settings of a supernet and of its training."""
    adapter: dict[str, Any] = {}
    """Fixed settings of adapters."""
    backend: dict[str, Any] = {}
    """Fixed settings of a speaker back end."""
    verification: dict[str, Any] = {}
    """Fixed settings of the loss on speakers."""
    augmentation: dict[str, Any] = {}
    """Fixed settings of the disturbance of training speech."""
    training: dict[str, Any] = {}
    """Fixed settings of training."""
    deploy: dict[str, Any] = {}
    """Fixed settings of the exported file, which every method has."""

    @classmethod
    def _keys(cls, given: dict[Any, Any]) -> list[str]:
        # Methods are loaded only if the document holds a key that is no field: most documents hold none.
        fields = super()._keys(given)
        return fields if given.keys() <= set(fields) else list(dict.fromkeys([*fields, *_groups_of_methods(given)]))

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
                raise ValueError(f"objectives: {quoted(objective)}; expected one of {', '.join(sorted(measured))}")
        costs = [objective for objective in self.objectives if objective in COST_OBJECTIVES]
        once = len(set(self.objectives)) == len(self.objectives)
        if not once or len(self.objectives) not in (2, 3) or len(costs) in (0, len(self.objectives)):
            raise ValueError(
                f"objectives: {self.objectives}; expected two or three, each once: one or two costs "
                f"({', '.join(COST_OBJECTIVES)}) and one or two errors"
            )
        return self

    @property
    def charges(self) -> set[str]:
        """Which of `size` and `latency` are objectives or limits: for them shapes are exported before trials begin."""
        limited = {name for name, limit in CHARGES.items() if getattr(self.constraints, limit) is not None}
        return limited | {name for name in self.objectives if name in CHARGES}

    @property
    def uncharged(self) -> Spec:
        """The document as if it asked for MACs in place of size and latency, for those who can measure no shape."""
        if not self.charges:
            return self
        objectives = list(dict.fromkeys("macs" if name in CHARGES else name for name in self.objectives))
        limits = self.constraints.model_copy(update=dict.fromkeys(CHARGES.values()))
        return self.model_copy(update={"objectives": objectives, "constraints": limits})

    @property
    def measured_on(self) -> DeviceSettings | None:
        """What latency is measured on. None if nobody asks for it."""
        return self.device or DeviceSettings() if "latency" in self.charges else None

    @property
    def tasks(self) -> list[Any]:
        """Settings of all tasks, also if the document names one only."""
        return self.task if isinstance(self.task, list) else [self.task]

    @property
    def teacher_tasks(self) -> list[Any]:
        """Settings of the tasks that a teacher from elsewhere is judged on before the first trial.

        A task that fine-tunes is left out, since it would train the whole teacher.
        """
        if isinstance(self.teacher, TrainedTeacher) or not self.teacher.judged:
            return []
        return [task for task in self.tasks if getattr(task, "mode", "probe") == "probe"]

    @property
    def methods(self) -> list[str]:
        """Names of all methods, also if the document names one only."""
        return [self.method] if isinstance(self.method, str) else self.method.choice

    @property
    def groups(self) -> list[str]:
        """Names of the groups that hold fixed settings: those that are fields, and those that came with methods."""
        own = self.__pydantic_extra__ or {}
        return [*(name for name, field in Spec.model_fields.items() if field.annotation == dict[str, Any]), *own]

    def fixed(self, group: str) -> dict[str, Any]:
        """The settings of a group that are the same in every trial; empty if the document leaves the group out."""
        return dict(self)[group] if group in self.groups else {}

    def with_lanes(self, lanes: int) -> Spec:
        """The document with so many lanes, for those who must know how many there are."""
        return self.model_copy(update={"workers": self.workers.model_copy(update={"lanes": lanes})})

    @property
    def search_space(self) -> Space:
        """The space that the search draws configurations from."""
        return Space(self.methods, self.space)

    def updates(self, method: str) -> int:
        """Budget of a method's trials, in updates. It is 0 if none of them is trained."""
        return 0 if self.search.rungs == [0.0] else self.search.updates_of.get(method, self.search.updates)

    def rung_updates(self, method: str) -> tuple[int, ...]:
        """Rungs of a method's trials: numbers of updates after which they report."""
        # A small share of a small budget rounds to nothing, but only the share 0 means: before the first update.
        trained = [max(1, round(share * self.updates(method))) for share in self.search.rungs if share]
        untrained = [0] if 0 in self.search.rungs and has_rung_zero(load_method(method)) else []
        return (*untrained, *trained)

    def share(self, method: str, updates: int) -> float:
        """The share of a method's budget that so many updates are. All of it is 1, even of a budget of 0."""
        budget = self.updates(method)
        return 1.0 if updates == budget else updates / budget

    @property
    def sharing(self) -> list[str]:
        """The methods all of whose trials begin with one training, which is done before the first trial."""
        return [method for method in self.methods if shares_one(load_method(method), self.space)]

    def keeps_features(self, method: str, training: Any, size_bytes: int, train_s: float) -> bool:
        """Whether a method's trials share hidden states of this size, as far as the document tells.

        `training` holds the trials' settings of training, or those of a training that they share, which say how many
        updates it has. `train_s` is the length of the training split in seconds.
        """
        if self.search.keep_features_gb != "auto":
            return size_bytes <= 1e9 * self.search.keep_features_gb
        # Of several methods each has its share of the trials.
        updates = self.updates(method) * self.search.trials / len(self.methods) + getattr(training, "updates", 0)
        heard_s = updates * training.accumulate * training.batch_s * self.workers.num_workers
        return bool(heard_s > train_s)

    def unsearched(self, method: str, key: str) -> Any:
        """Value in a method's trials of a setting that the search does not draw: the fixed one, or the default."""
        group, _, name = key.partition(".")
        given = self.fixed(group)
        if name in given:
            return given[name]
        if group in SHARED_GROUPS:
            return SHARED_GROUPS[group]().model_dump()[name]
        return load_method(method).Settings().model_dump()[group][name]

    @property
    def digest(self) -> str:
        """Digest of all but name, workers, notices, what is kept and whether the teacher is judged.

        Searches with one digest ask the same question.
        """
        exclude: Any = {"name": True, "workers": True, "notices": True}
        exclude |= {"search": {"keep_features_gb"}, "teacher": {"judged"}}
        document = self.model_dump(mode="json", by_alias=True, exclude=exclude)
        for task in document["task"] if isinstance(document["task"], list) else [document["task"]]:
            for key, off in LATER_OF_TASKS.items():
                if task.get(key) == off:
                    del task[key]
            if "head" not in task:  # a linear head has no width of its own
                task.pop("head_width", None)
        for key in LATER_OF_SEARCH:
            if document["search"][key] is None:
                del document["search"][key]
        for key in LATER_LIMITS:
            if document["constraints"][key] is None:
                del document["constraints"][key]
        if self.device is None:
            del document["device"]
        for group in LATER_GROUPS:
            if not document[group]:
                del document[group]
        return document_digest(document)

    def settings(self, config: Config) -> Any:
        """Settings of a configuration's method: the fixed ones, with those of the configuration put into them.

        Raises: InputError that names the key of a wrong one.
        """
        # Fixed settings are of all methods in the document: of those, this method takes the ones that it knows.
        method = str(config["method"])
        nested: dict[str, Any] = {}
        for group in self.groups:
            if group not in SHARED_GROUPS and has_setting(method, group):
                fixed = self.fixed(group).items()
                nested[group] = {key: value for key, value in fixed if has_setting(method, f"{group}.{key}")}
        for key, value in config.items():
            if key != "method" and key.partition(".")[0] not in SHARED_GROUPS:
                *path, last = key.split(".")
                at = nested
                for part in path:
                    # A copy: what is fixed of some blocks belongs to the document, and others are put beside it.
                    at[part] = dict(at.get(part) or {})
                    at = at[part]
                at[last] = value
        return load_method(method).Settings.checked(nested)

    def training_of(self, config: Config) -> Config:
        """The part of a configuration that decides what is trained.

        How the student is shipped is part of it where it is trained for that.
        Raises: InputError that names the key of a wrong setting.
        """
        own = {key: value for key, value in config.items() if key.partition(".")[0] not in SHARED_GROUPS}
        deploy = self.deploy_of(config)
        return own | ({"deploy.precision": deploy.precision, "deploy.aware": deploy.aware} if deploy.aware else {})

    def deploy_of(self, config: Config) -> DeploySettings:
        """How a configuration's student is shipped.

        Raises: InputError that names the key of a wrong setting.
        """
        drawn = {key.removeprefix("deploy."): value for key, value in config.items() if key.startswith("deploy.")}
        try:
            return DeploySettings.checked({**self.deploy, **drawn})
        except InputError as err:
            raise InputError(f"deploy.{err}") from err

    def student_config(self, config: Config, teacher: AnyConfig) -> AnyConfig:
        """Encoder of a configuration's student, known before it is trained.

        Raises: InputError that names the key of a wrong setting, or if the student is too large for any machine.
        """
        method = load_method(str(config["method"]))
        student = method.student(self.settings(config), teacher)
        try:
            check_size(student)
        except ValueError as err:
            raise InputError(f"student: {err}") from err
        return student


def _groups_of_methods(document: Mapping[Any, Any]) -> Iterator[str]:
    """Names of the groups that the methods of a document have. A method that cannot be loaded counts as having none."""
    method = document.get("method")
    names = method.get("choice") if isinstance(method, Mapping) else [method]
    for name in names if isinstance(names, list) else []:
        with suppress(InputError):  # `parse_spec` says later that there is no such method
            keys = setting_keys(name) if isinstance(name, str) else []
            yield from dict.fromkeys(key.partition(".")[0] for key in keys if "." in key)
