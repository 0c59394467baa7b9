"""Importances of settings for costs: exact, so that what has no part in a cost has a share of nought."""

import pytest

from raysearch.errors import InputError
from raysearch.front.trials import Cost
from raysearch.search.importances import cost_importances
from raysearch.spec.space import Distribution, Space

SPACE = Space(
    ["dicehubert"],
    {
        "student.depth": Distribution(int=(1, 12)),
        "student.width": Distribution(choice=[128, 256]),
        "targets.clusters": Distribution(int=(32, 512), log=True),
    },
)


def cost(config):
    return Cost(
        macs_g=float(config["student.depth"]), params_m=float(config["student.depth"] * config["student.width"])
    )


def test_setting_without_part_in_a_cost_has_a_share_of_exactly_nought():
    found = cost_importances(SPACE, cost, 0)
    assert found["macs"] == {"student.depth": 1.0, "student.width": 0.0, "targets.clusters": 0.0}
    assert found["params"]["targets.clusters"] == 0.0
    assert sum(found["params"].values()) == pytest.approx(1)
    # Of ln(depth x width) the variance is the sum of both, about 0.50 and 0.12.
    assert found["params"]["student.depth"] == pytest.approx(0.8, abs=0.12)


def test_configurations_without_a_student_are_left_out():
    def fussy(config):
        if config["student.depth"] > 6:
            raise InputError("no student")
        return cost(config)

    assert cost_importances(SPACE, fussy, 0)["macs"]["student.depth"] == 1.0
