"""The space: what it draws, what it hides, what it refuses."""

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.errors import InputError
from raysearch.spec.faults import check_keys
from raysearch.spec.space import Distribution, Space, block_keys, has_setting


def distribution(**given_fields: object) -> Distribution:
    return Distribution.model_validate(given_fields)


@given(st.integers(1, 50), st.integers(0, 200), st.booleans(), st.integers(0, 2**31))
def test_draw_int_stays_within_bounds(low: int, span: int, log: bool, seed: int) -> None:
    value = distribution(int=[low, low + span], log=log).draw(np.random.default_rng(seed))
    assert isinstance(value, int)
    assert low <= value <= low + span


def test_draw_int_log_reaches_both_bounds() -> None:
    rng = np.random.default_rng(0)
    drawn = {distribution(int=[1, 4], log=True).draw(rng) for _ in range(200)}
    assert drawn == {1, 2, 3, 4}


@pytest.mark.parametrize(
    "fields", [{}, {"int": [1, 2], "choice": [1]}, {"int": [3, 1]}, {"float": [0, 1], "log": True}, {"choice": []}]
)
def test_impossible_distribution_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        distribution(**fields)


def two_methods() -> Space:
    return Space(
        ["dicehubert", "distilhubert"],
        {
            "targets.clusters": distribution(choice=[50, 100]),
            "student.depth": distribution(int=[1, 4]),
            "prediction.mask_prob": distribution(choice=[0.0, 0.8], when={"targets.clusters": 100}),
        },
    )


def test_draw_key_of_another_method_is_absent() -> None:
    rng = np.random.default_rng(1)
    for config in (two_methods().draw(rng) for _ in range(100)):
        assert ("targets.clusters" in config) == (config["method"] == "dicehubert")


def test_draw_condition_false_is_absent() -> None:
    rng = np.random.default_rng(1)
    for config in (two_methods().draw(rng) for _ in range(100)):
        assert ("prediction.mask_prob" in config) == (config.get("targets.clusters") == 100)


def test_suggest_asks_optuna_for_active_keys_only() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        config = two_methods().suggest(trial)
        assert config == trial.params


def test_conditions_in_a_circle_are_refused() -> None:
    a = distribution(choice=[1], when={"training.clip": 1})
    b = distribution(choice=[1], when={"training.lr": 1})
    with pytest.raises(InputError, match="circle"):
        Space(["dicehubert"], {"training.lr": a, "training.clip": b})


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"space.student.dept: unknown key.*did you mean student.depth"):
        check_keys({"student.dept": distribution(int=[1, 2])}, ["dicehubert"])


def test_has_setting_knows_groups_and_fields() -> None:
    assert has_setting("dicehubert", "student.depth")
    assert has_setting("dicehubert", "student")
    assert not has_setting("distilhubert", "targets.clusters")


def test_has_setting_knows_numbers_of_blocks_where_a_setting_takes_them() -> None:
    assert has_setting("supernet", "student.ffn_ratio.12")
    assert block_keys("supernet") == ["student.heads", "student.ffn_ratio"]
    assert block_keys("dicehubert") == []
    for key in ("student.ffn_ratio.0", "student.ffn_ratio.x", "student.ffn_ratio.1.2", "student.depth.1"):
        assert not has_setting("supernet", key)
