"""Finds what is wrong between parts of a search document of which each is right alone.

Pydantic has checked each part by then. What is left are settings that no method knows, values that their setting does
not take, widths that do not suit the heads, and start points outside the space.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import Any

from raysearch.errors import InputError, clipped, did_you_mean, quoted
from raysearch.exported.settings import FLOATS
from raysearch.methods.needs import has_rung_zero
from raysearch.methods.table import load_method
from raysearch.spec.document import Spec
from raysearch.spec.space import SHARED_GROUPS, Distribution, Space, Value, has_setting, setting_keys

MOST_WIDTH = 65_536
"""Largest width that is worth an example."""


def check(spec: Spec) -> None:
    """Checks a document. Raises: InputError for the first fault; its text does not name the file."""
    check_keys(spec.space, spec.methods)
    Space(spec.methods, spec.space)  # refuses conditions that form a circle
    _check_groups(spec)
    _check_values(spec)
    _check_widths(spec)
    _check_start(spec)
    _check_rungs(spec)
    _check_heads(spec)
    _check_files(spec)
    _check_aware(spec)


def check_keys(space: Mapping[str, Distribution], methods: list[str]) -> None:
    """Checks the keys of a space and of its conditions. Raises: InputError for one that none of the methods has."""
    known = sorted({key for method in methods for key in setting_keys(method)})
    for key, distribution in space.items():
        if (whole := key.rpartition(".")[0]) in space:
            raise InputError(
                f"space.{clipped(key)}: searched for all blocks as well, as {whole}; expected one of the two"
            )
        for wanted in (key, *distribution.when):
            if wanted != "method" and not any(has_setting(method, wanted) for method in methods):
                where = f"space.{clipped(key)}" if wanted == key else f"space.{key}.when.{clipped(wanted)}"
                raise InputError(
                    f"{where}: unknown key; expected a setting of {' or '.join(methods)}{did_you_mean(wanted, known)}"
                )


def _check_groups(spec: Spec) -> None:
    """Checks that fixed settings are known to some method of the document, and are not searched as well."""
    for group in spec.groups:
        for key in spec.fixed(group):
            dotted = f"{group}.{key}"
            if not any(has_setting(method, dotted) for method in spec.methods):
                known = [name for method in spec.methods for name in _fields(method, group)]
                expected = f"one of {', '.join(dict.fromkeys(known)) or 'none'}{did_you_mean(key, known)}"
                raise InputError(f"{clipped(dotted)}: unknown key; expected {expected}")
            value = spec.fixed(group)[key]
            blocks = [f"{dotted}.{block}" for block in value] if isinstance(value, Mapping) else []
            of_blocks = (
                [] if isinstance(value, Mapping) else [one for one in spec.space if one.startswith(f"{dotted}.")]
            )
            for searched in (dotted, *blocks, *of_blocks):
                if searched in spec.space:
                    at = dotted if searched in of_blocks else searched
                    raise InputError(f"{at}: fixed here and searched under space; expected one of the two")


def _fields(method: str, group: str) -> list[str]:
    """Keys of the settings that a method has in a group, without the group's name."""
    prefix = f"{group}."
    return [key.removeprefix(prefix) for key in setting_keys(method) if key.startswith(prefix)]


def _check_values(spec: Spec) -> None:
    """Checks each fixed or searched value alone: its setting must take it. `_check_widths` looks at pairs of values."""
    given: list[tuple[str, str, Any]] = []
    for group in spec.groups:
        given += [(key := f"{group}.{name}", key, value) for name, value in spec.fixed(group).items()]
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
    """What a setting has against a value, as the text that follows its key; empty if nothing."""
    group, _, name = key.partition(".")
    shared = SHARED_GROUPS.get(group)
    nested = value
    for part in reversed((name if shared else key).split(".")):
        nested = {part: nested}
    try:
        (shared or load_method(method).Settings).checked(nested)
    except InputError as err:
        fault = f"{group}.{err}" if shared else str(err)
        # A fault of the whole group may come from the defaults that stand beside the value here. It is not the value's.
        return fault.removeprefix(key) if fault.startswith(key) else ""
    return ""


def _check_widths(spec: Spec) -> None:
    """Checks that every width suits every number of heads, and the groups of the position convolution.

    A search could draw any pair of the two, and pairs that cannot be built would waste suggestions.
    """
    given, where = _values(spec, "student.width")
    # A number may be written as text, with a fraction of zero.
    widths = [int(float(width)) for width in given]
    # Heads of a width of their own need not divide that of the student.
    own = [width for width in _values(spec, "student.head_width")[0] if width is not None]
    heads = set() if own else {int(float(count)) for count in _values(spec, "student.heads")[0]}
    # A student's position convolution has 16 groups by default, and its width must be a multiple of them too.
    for position, width in enumerate(widths):
        for divisor, what in [*((count, "student.heads") for count in sorted(heads)), (16, "position_conv.groups")]:
            if width % divisor:
                key, near = where.format(position), _near_multiple(width, heads | {16})
                example = f", e.g. {near}" if near <= MOST_WIDTH else ""
                raise InputError(f"{key}: {width}; expected a multiple of {what} = {divisor}{example}")


def _values(spec: Spec, key: str) -> tuple[list[Any], str]:
    """The values that a key can take, and where the document says so, with a gap for the position of one of them."""
    if key in spec.space:
        distribution = spec.space[key]
        return distribution.values(), f"space.{key}.choice[{{}}]" if distribution.choice else f"space.{key}"
    found = [spec.unsearched(method, key) for method in spec.methods if has_setting(method, key)]
    values = {one for value in found for one in (value.values() if isinstance(value, Mapping) else [value])}
    return list(values - {None}), key  # None follows from other settings


def _near_multiple(value: int, divisors: set[int]) -> int:
    """The multiple of all divisors that is nearest to the value."""
    common = lcm(*divisors)
    return max(common, round(value / common) * common)


def _check_start(spec: Spec) -> None:
    """Checks the methods that have a budget of their own, and that start points lie in the space."""
    for method in spec.search.updates_of:
        expected = f"one of {', '.join(spec.methods)}"
        _refuse_unless(method in spec.methods, "search.updates_of", method, clipped(expected))
    for position, point in enumerate(spec.search.start):
        for key, value in point.items():
            where = f"search.start[{position}].{clipped(key)}"
            if key == "method":
                _refuse_unless(value in spec.methods, where, value, clipped(f"one of {', '.join(spec.methods)}"))
            elif key not in spec.space:
                known = clipped(", ".join(spec.space))
                raise InputError(f"{where}: not searched; expected one of {known}")
            elif (choices := spec.space[key].choice) is not None:
                _refuse_unless(value in choices, where, value, clipped(f"one of {choices}"))
            else:
                low, high = spec.space[key].int_ or spec.space[key].float_ or (0, 0)
                fits = isinstance(value, int | float) and low <= value <= high
                _refuse_unless(fits, where, value, f"{low} to {high}")


def _check_rungs(spec: Spec) -> None:
    """Checks that a rung before the first update is one of some method, and of every one if it is the only rung."""
    if spec.search.rungs[0]:
        return
    without = [method for method in spec.methods if not has_rung_zero(load_method(method))]
    if len(without) == len(spec.methods) or (without and spec.search.rungs == [0.0]):
        raise InputError(
            f"search.rungs: {spec.search.rungs}; expected shares above 0: a student of {without[0]} is no model before "
            "its first update"
        )


def _check_heads(spec: Spec) -> None:
    """Checks that no slice of a supernet comes with a linear head where the task asks for SUPERB's."""
    for method in spec.methods:
        if not has_setting(method, "supernet.task_weight"):
            continue
        weights, where = _values(spec, "supernet.task_weight")
        settings: Any = load_method(method).Settings()
        read = settings.supernet.read_task([task.kind for task in spec.tasks])
        asked = any(task.kind == read and task.head == "superb" for task in spec.tasks)
        if asked and any(weights):
            raise InputError(
                f"{where.format(0)}: {max(weights)} with task.head = superb; expected 0, or a slice would be judged by "
                "the supernet's linear head"
            )


def _check_files(spec: Spec) -> None:
    """Checks that files can be judged where they may have another precision than their student."""
    precisions, _ = _values(spec, "deploy.precision")
    other = next((precision for precision in precisions if precision != "fp32"), None)
    if other is None:
        return
    why = f"with deploy.precision = {other}"
    for task in spec.tasks:
        for key in ("as_norm", "segments"):
            if task.kind == "speaker" and (given := getattr(task, key)):
                raise InputError(f"task.{key}: {given}; expected 0 {why}: a file is judged by plain cosines")
        if task.kind in ("classification", "intent") and spec.corpus.kind == "several":
            raise InputError(f"corpus.kind: several; expected one corpus {why}: a file holds one head of {task.kind}")


def _check_aware(spec: Spec) -> None:
    """Checks that students are trained for 8 bits where their file has them, and that nothing undoes it."""
    shares, where = _values(spec, "deploy.aware")
    if not any(shares):
        return
    at = shares.index(max(shares))
    got = f"{where.format(at)}: {shares[at]:g}"
    searched = spec.space.get("deploy.aware")
    wanted = searched.when.get("deploy.precision") if searched else None
    met = _values(spec, "deploy.precision")[0] if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    if floats := [precision for precision in met if precision in FLOATS]:
        bits = [precision for precision in met if precision not in FLOATS]
        asked = f"it to be searched with when: {{deploy.precision: [{', '.join(map(str, bits))}]}}" if bits else "0"
        raise InputError(f"{got} with deploy.precision = {floats[0]}, which has no 8 bits; expected {asked}")
    for task in spec.tasks:
        if getattr(task, "mode", "") == "finetune":
            raise InputError(f"{got} with task.mode = finetune, which tunes in floats afterwards; expected 0")
    if spec.search.rungs == [0.0]:
        raise InputError(f"{got} with search.rungs = [0.0], where nothing is trained; expected 0")


def _refuse_unless(fits: bool, where: str, value: Value, expected: str) -> None:
    if not fits:
        raise InputError(f"{where}: {quoted(value)}; expected {expected}")
