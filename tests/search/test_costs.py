"""Costs are kept by shape, and a setting that a method compares with its teacher is looked at each time."""

from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.errors import InputError
from raysearch.methods.table import METHODS, load_method
from raysearch.search.costs import CHECKED, SHAPELESS, Costs
from tests.search.made_up import TEACHER, spec_with

DEPTH = {"student.depth": 2, "student.width": 64}


@pytest.mark.parametrize("method", ["dicehubert", "fasthubert", "unfused"])
def test_layer_beyond_the_teacher_is_refused_also_after_its_shape_was_costed(method: str) -> None:
    costs = Costs(spec_with(method=method, space={}, student={}), TEACHER)
    known = costs({"method": method, "targets.layer": 1})
    with pytest.raises(InputError, match=r"targets\.layer: 9; expected 1 to 6, or -1 for the last block"):
        costs({"method": method, "targets.layer": 9})
    assert costs({"method": method, "targets.layer": 6}) is not known
    assert costs({"method": method, "targets.layer": 6}) == known


def test_settings_that_no_shape_depends_on_share_a_cost() -> None:
    costs = Costs(spec_with(), TEACHER)
    one, other = (costs({"method": "dicehubert", **DEPTH, "targets.clusters": k}) for k in (50, 100))
    assert one is other


@pytest.mark.parametrize("name", METHODS)
def test_no_method_looks_at_a_setting_that_counts_as_shapeless(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = load_method(name)
    changes = {"distillation": {"layers": [1]}} if name in ("distilhubert", "dphubert", "supernet") else {}
    settings = method.Settings.checked(changes)
    watched = SimpleNamespace(
        **{group: watching(group, getattr(settings, group)) for group in type(settings).model_fields}
    )
    assert method.student(watched, TEACHER) == method.student(settings, TEACHER)


def watching(group: str, settings: Any) -> Any:
    """The settings of a group. Of a shapeless one only those that are checked can be read."""
    if f"{group}." not in SHAPELESS:
        return settings
    names = [key.partition(".")[2] for key in CHECKED if key.startswith(f"{group}.")]
    return SimpleNamespace(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})
