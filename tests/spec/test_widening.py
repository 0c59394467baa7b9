"""Which documents a search may go on with."""

import re
from typing import Any

import pytest

from raysearch.errors import InputError
from raysearch.spec.space import Distribution
from raysearch.spec.widening import held, rechosen, widened
from tests.search.made_up import spec_with


@pytest.mark.parametrize(
    "line",
    [
        "space.student.width={choice: [64, 128, 256, 384]}",
        "space.student.depth={int: [1, 12]}",
        "method={choice: [dicehubert, distilhubert]}",
        "space.student.ffn_ratio={choice: [2.0, 4.0]}",
        "space.student.heads={choice: [2, 4, 8]}",
        "search.budget={hours: 3}",
        "workers.lanes=4",
        "constraints.macs_g=null",
        "constraints.macs_g=500",
    ],
)
def test_document_may_become_wider(line: str) -> None:
    old = spec_with(constraints={"macs_g": 400})
    new, changes = widened(old, [line])
    assert changes
    assert new != old


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("space.student.width={choice: [64, 128]}", "space.student.width: {'choice': [64, 128]}; expected at least"),
        ("space.student.depth={int: [2, 6]}", "space.student.depth: {'int': [2, 6]}; expected at least what it has"),
        ("space.student.depth={int: [1, 7], step: 2}", "space.student.depth"),
        ("space.student.depth={int: [1, 7], log: true}", "space.student.depth"),
        ("space.student.depth={int: [1, 7], when: {student.width: 64}}", "space.student.depth"),
        ("space.student.heads={choice: [2, 8]}", "space.student.heads: {'choice': [2, 8]}; expected 4 among it"),
        ("method=fasthubert", "method: ['fasthubert']; expected dicehubert among them"),
        ("constraints.macs_g=300", "constraints.macs_g: 300; expected at least 400"),
        ("search.updates=200", "search.updates: 100 -> 200: trials before and after would not compare"),
        ("search.updates_of.dicehubert=9", "search.updates_of.dicehubert: absent -> 9: trials before and after"),
        ("training.lr=0.1", "training.lr: absent -> 0.1: trials before and after would not compare"),
    ],
)
def test_document_that_loses_a_point_or_changes_trials_is_refused(line: str, fault: str) -> None:
    with pytest.raises(InputError, match=re.escape(fault)):
        widened(spec_with(constraints={"macs_g": 400}), [line])


def test_setting_that_is_searched_from_now_on_is_no_longer_fixed_and_its_value_is_known() -> None:
    old = spec_with()
    new, _ = widened(old, ["space.student.heads={choice: [2, 4, 8]}"])
    assert "heads" not in new.student
    assert held(old, new) == {"dicehubert": {"student.heads": 4}}
    assert rechosen(old, new) == []


def test_keys_with_more_choices_or_a_wider_range_are_told() -> None:
    old = spec_with()
    widths, depths = {"choice": [64, 128, 256, 384]}, {"int": [1, 9]}
    lines: dict[str, Any] = {"space.student.width": widths, "space.student.depth": depths}
    new, _ = widened(old, lines)
    assert sorted(rechosen(old, new)) == ["student.depth", "student.width"]
    assert new.space["student.depth"] == Distribution(int=(1, 9))
