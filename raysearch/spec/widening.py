"""Says whether a search may go on with another document: it may gain choices, ranges and methods, and lose no point."""

from __future__ import annotations

from typing import Any

from raysearch.errors import InputError, clipped
from raysearch.spec.document import Spec
from raysearch.spec.loading import differences, parse_spec
from raysearch.spec.overrides import Overrides, override
from raysearch.spec.space import Distribution, Value, has_setting

FREE = (
    *("workers.", "notices", "search.trials", "search.budget", "search.stop", "search.repeats", "search.timeout"),
    *(
        "search.start",
        "search.learn_from",
        "search.sampler",
        "search.scheduler",
        "search.keep_features_gb",
        "search.updates_of",
    ),
)
"""Beginnings of the keys that decide nothing about what a configuration comes to. They may change in any way."""
WIDENED = ("space", "method", "constraints.")
"""Beginnings of the keys that may only let more in."""


def widened(old: Spec, overrides: Overrides) -> tuple[Spec, dict[str, str]]:
    """The document with which a search goes on, and what differs in it, as `OLD -> NEW` by dotted key.

    A setting that is searched from now on is no longer fixed.
    Raises: InputError if the new document is wrong, loses a point of the old one, or changes what trials come to.
    """
    document = old.model_dump(mode="json", by_alias=True, exclude_none=True)
    override(document, overrides)
    for key in [key for key in document.get("space", {}) if key not in old.space]:
        group, _, name = key.partition(".")
        if isinstance(document.get(group), dict):
            document[group] = {one: value for one, value in document[group].items() if one != name}
    new = parse_spec(document, where=old.name)
    # A group of fixed settings has an entry of its own where it became empty, or was.
    changes = {key: change for key, change in differences(old, new).items() if key not in new.groups}
    released = set(new.space) - set(old.space)
    for key, change in changes.items():
        known = key.startswith("search.updates_of.") and key.rpartition(".")[2] in old.methods
        if known or not (key.startswith((*FREE, *WIDENED)) or key in released):
            raise InputError(
                f"--set: {key}: {change}: trials before and after would not compare; expected a search of its own"
            )
    _check_methods(old, new)
    _check_space(old, new)
    _check_limits(old, new)
    return new, changes


def held(old: Spec, new: Spec) -> dict[str, dict[str, Value]]:
    """The values that settings had in all trials which are searched only from now on: by method, by key."""
    found: dict[str, dict[str, Value]] = {}
    for method in old.methods:
        keys = [key for key in new.space if key not in old.space and has_setting(method, key)]
        values = {key: old.unsearched(method, key) for key in keys}
        found[method] = {key: value for key, value in values.items() if value is not None}
    return found


def rechosen(old: Spec, new: Spec) -> list[str]:
    """Keys whose choices have become more or whose range wider, `method` among them."""
    keys = [key for key, one in old.space.items() if new.space[key] != one]
    return [*(["method"] if len(old.methods) > 1 and new.methods != old.methods else []), *keys]


def _check_methods(old: Spec, new: Spec) -> None:
    if gone := [method for method in old.methods if method not in new.methods]:
        raise InputError(f"--set: method: {new.methods}; expected {gone[0]} among them: trials of it are there")


def _check_space(old: Spec, new: Spec) -> None:
    for key, before in old.space.items():
        after = new.space.get(key)
        if after is None or not _holds(after, before):
            raise InputError(
                f"--set: space.{clipped(key)}: {_text(after)}; expected at least what it has: {_text(before)}"
            )
    for method, values in held(old, new).items():
        for key, value in values.items():
            if not _lets_in(new.space[key], value):
                raise InputError(
                    f"--set: space.{key}: {_text(new.space[key])}; expected {value} among it, which trials of "
                    f"{method} have had so far"
                )


def _check_limits(old: Spec, new: Spec) -> None:
    for key in ("macs_g", "params_m", "size_mb", "latency_ms"):
        before, after = getattr(old.constraints, key), getattr(new.constraints, key)
        if after is not None and (before is None or after < before):
            expected = "none, as before" if before is None else f"at least {before:g}"
            raise InputError(f"--set: constraints.{key}: {after:g}; expected {expected}")


def _holds(after: Distribution, before: Distribution) -> bool:
    """Whether every value of one distribution is one of the other, under the same conditions or fewer."""
    for key, wanted in after.when.items():
        allowed, known = (_listed(one) for one in (wanted, before.when.get(key, [])))
        if not known or not set(map(repr, known)) <= set(map(repr, allowed)):
            return False
    if before.choice is not None:
        return after.choice is not None and all(value in after.choice for value in before.choice)
    old, new = (one.int_ or one.float_ for one in (before, after))
    if old is None or new is None or (before.int_ is None) != (after.int_ is None) or before.log != after.log:
        return False
    step = after.step or 1
    on_grid = before.int_ is None or (((before.step or 1) % step == 0) and (old[0] - new[0]) % step == 0)
    return new[0] <= old[0] and old[1] <= new[1] and on_grid


def _lets_in(distribution: Distribution, value: Any) -> bool:
    if distribution.choice is not None:
        return value in distribution.choice
    low, high = distribution.int_ or distribution.float_ or (0, 0)
    return isinstance(value, int | float) and low <= value <= high


def _listed(wanted: Value | list[Value]) -> list[Value]:
    return wanted if isinstance(wanted, list) else [wanted]


def _text(distribution: Distribution | None) -> str:
    if distribution is None:
        return "none"
    return clipped(str(distribution.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
