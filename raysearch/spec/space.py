"""The search space: the settings that a search draws, each with its distribution and its conditions.

Settings are named by dotted keys, such as `student.width`. The method is drawn first, since it decides which of the
others there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from pydantic import BaseModel, Field, model_validator

from raysearch.errors import InputError
from raysearch.exported.settings import DeploySettings
from raysearch.methods.table import load_method
from raysearch.settings import Settings

Value = str | int | float | bool
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""A whole number that a float holds exactly, as samplers keep them."""
Real = Annotated[float, Field(ge=-1e100, le=1e100)]
"""A number of which the difference to any other is finite."""
Config = dict[str, Value]
"""A configuration: one point of the space, as dotted keys with their values, `method` among them."""
BLOCK = re.compile(r"[1-9]\d{0,3}")
"""Number of a block as it stands in a key such as `student.heads.2`, counted from 1."""
SHARED_GROUPS: dict[str, type[Settings]] = {"deploy": DeploySettings}
"""Groups of settings that every method has, with their models. No method is given them, since none reads them."""


class Distribution(Settings):
    """How the search draws one setting. Exactly one of `int`, `float` and `choice` is given."""

    int_: tuple[Whole, Whole] | None = Field(None, alias="int")
    """Lowest and highest whole number to draw, both included."""
    float_: tuple[Real, Real] | None = Field(None, alias="float")
    """Lowest and highest number to draw."""
    choice: list[Value] | None = Field(None, min_length=1, max_length=1_000)
    """Values to choose from."""
    log: bool = False
    """Whether to draw evenly in the logarithm, so that each doubling is as likely as the next."""
    step: int | None = Field(None, ge=1, le=2**53)
    """Distance between neighbouring whole numbers; only with `int`, and without `log`."""
    when: dict[str, Value | list[Value]] = {}
    """Conditions: other keys, each with the value or values that it must have for this setting to matter."""

    @model_validator(mode="after")
    def _one_kind(self) -> Distribution:
        given = [bounds for bounds in (self.int_, self.float_, self.choice) if bounds is not None]
        if len(given) != 1:
            raise ValueError("expected exactly one of int, float, choice")
        if bounds := self.int_ or self.float_:
            low, high = bounds
            if low > high:
                raise ValueError(f"[{low}, {high}]; expected the lower bound first")
            if self.log and low <= 0:
                raise ValueError(f"[{low}, {high}]; expected positive bounds with log: true")
        if self.step is not None and (self.int_ is None or self.log):
            raise ValueError(f"step: {self.step}; expected only with int and without log")
        return self

    def draw(self, rng: np.random.Generator) -> Value:
        """A value drawn evenly, or evenly in the logarithm if `log`."""
        if self.choice is not None:
            return self.choice[int(rng.integers(len(self.choice)))]
        if self.float_ is not None:
            low, high = self.float_
            return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if self.log else float(rng.uniform(low, high))
        assert self.int_ is not None
        first, last = self.int_
        # Half a unit more at both ends: rounding would else give the first and the last number half their share.
        if self.log:
            return int(np.clip(round(np.exp(rng.uniform(np.log(first - 0.5), np.log(last + 0.5)))), first, last))
        step = self.step or 1
        return first + step * int(rng.integers((last - first) // step + 1))

    def values(self, limit: int = 4096) -> list[Value]:
        """All values, if they can be listed. Of `float`, or of more than `limit` whole numbers, only both bounds."""
        if self.choice is not None:
            return list(self.choice)
        if self.float_ is not None:
            return list(self.float_)
        assert self.int_ is not None
        every = range(self.int_[0], self.int_[1] + 1, self.step or 1)
        return list(every) if len(every) <= limit else [every[0], every[-1]]


class Space:
    """The distributions of a search, in an order in which each comes after the keys that its conditions name."""

    def __init__(self, methods: list[str], distributions: Mapping[str, Distribution]) -> None:
        self.methods = methods
        self.distributions = dict(distributions)
        self._method = Distribution(choice=list(methods))
        self._order = list(self._sorted())
        self.draws_shared = any(key.partition(".")[0] in SHARED_GROUPS for key in self.distributions)
        """Whether it draws settings that decide nothing about training, so that trials may have one student."""

    def _sorted(self) -> Iterator[str]:
        placed = {"method"}
        waiting = list(self.distributions)
        while waiting:
            ready = [key for key in waiting if self._needs(key) <= placed]
            if not ready:
                raise InputError(f"space.{waiting[0]}.when: conditions form a circle; expected none")
            yield from ready
            placed.update(ready)
            waiting = [key for key in waiting if key not in placed]

    def _needs(self, key: str) -> set[str]:
        return {other for other in self.distributions[key].when if other in self.distributions}

    def active(self, key: str, config: Mapping[str, Value]) -> bool:
        """Whether a key matters, given what is chosen already: the method knows the key, and its conditions hold."""
        if not has_setting(str(config["method"]), key):
            return False
        when = self.distributions[key].when
        return not when or all(
            config.get(other) in (wanted if isinstance(wanted, list) else [wanted]) for other, wanted in when.items()
        )

    def walk(self, choose: Callable[[str, Distribution], Value]) -> Config:
        """A configuration for which `choose(key, distribution)` gives the value of each key that matters, in order."""
        config: Config = {"method": self.methods[0]}
        if len(self.methods) > 1:
            config["method"] = choose("method", self._method)
        for key in self._order:
            if self.active(key, config):
                config[key] = choose(key, self.distributions[key])
        return config

    def draw(self, rng: np.random.Generator) -> Config:
        """A configuration drawn at random."""
        return self.walk(lambda _, distribution: distribution.draw(rng))

    def suggest(self, trial: Any, names: Mapping[str, str] | None = None) -> Config:
        """A configuration whose values an Optuna trial suggests.

        `names` are the parameters of keys that are not called as the key is.
        """

        def choose(key: str, distribution: Distribution) -> Value:
            value: Value
            name = (names or {}).get(key, key)
            if distribution.choice is not None:
                value = trial.suggest_categorical(name, distribution.choice)
            elif distribution.float_ is not None:
                value = trial.suggest_float(name, *distribution.float_, log=distribution.log)
            else:
                assert distribution.int_ is not None
                step = {} if distribution.log else {"step": distribution.step or 1}
                value = trial.suggest_int(name, *distribution.int_, log=distribution.log, **step)
            return value

        return self.walk(choose)


@cache
def has_setting(method: str, key: str) -> bool:
    """Whether a method has a setting with this dotted key."""
    group, _, name = key.partition(".")
    if group in SHARED_GROUPS:
        return not name or name in SHARED_GROUPS[group].model_fields
    model: type[BaseModel] | None = load_method(method).Settings
    annotation: Any = None
    for name in key.split("."):
        if _per_block(annotation):
            # What a block has holds nothing further.
            model, annotation = None, None
            if not BLOCK.fullmatch(name):
                return False
            continue
        if model is None or name not in model.model_fields:
            return False
        annotation = model.model_fields[name].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return True


def _per_block(annotation: Any) -> bool:
    """Whether a setting may have a value for each of some blocks, as a mapping by their numbers."""
    return any(
        get_origin(one) is dict and int in get_args(get_args(one)[0]) for one in (annotation, *get_args(annotation))
    )


def block_keys(method: str) -> list[str]:
    """Dotted keys of a method's settings that may be followed by the number of a block, as `student.heads.2`."""
    return [key for key in setting_keys(method) if has_setting(method, f"{key}.1")]


def setting_keys(method: str) -> list[str]:
    """All dotted keys of a method's settings, those of the groups that every method has among them."""

    def below(model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from below(annotation, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    shared = [f"{group}.{name}" for group, model in SHARED_GROUPS.items() for name in model.model_fields]
    return [*below(load_method(method).Settings, ""), *shared]
