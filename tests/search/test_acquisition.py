"""Expected hypervolume improvement against Monte Carlo and against areas counted by hand."""

import numpy as np
import pytest

from raysearch.search.acquisition import _area, expected_gain, mutant, propose, staircase
from raysearch.search.surrogate import Encoding, Observation, Surrogate, expected_ends
from raysearch.spec.space import Config, Distribution, Space


def space() -> Space:
    fields = {
        "student.depth": {"int": [1, 8]},
        "student.width": {"choice": [64, 128, 256, 512]},
        "training.lr": {"float": [1e-4, 1e-2], "log": True},
        "student.front_end": {"choice": ["logmel-25hz", "waveform"]},
    }
    return Space(["dicehubert"], {key: Distribution.model_validate(value) for key, value in fields.items()})


def ln_macs(config: Config) -> float:
    return float(np.log(float(config["student.depth"]) * float(config["student.width"])))


def ln_error(config: Config) -> float:
    return float(4.0 - 0.4 * ln_macs(config) + 0.3 * np.log10(float(config["training.lr"]) / 1e-3) ** 2)


def observed(count: int, seed: int) -> list[Observation]:
    rng = np.random.default_rng(seed)
    configs = [space().draw(rng) for _ in range(count)]
    return [Observation(c, ln_macs(c), {1.0: ln_error(c)}) for c in configs]


def test_staircase_keeps_the_front_only() -> None:
    steps = staircase([(1.0, 50.0), (2.0, 60.0), (3.0, 20.0)], (4.0, 80.0))
    assert steps.tolist() == [[-np.inf, 1.0, 80.0], [1.0, 3.0, 50.0], [3.0, 4.0, 20.0]]


def test_expected_gain_of_a_sure_point_is_the_area_it_adds() -> None:
    steps = staircase([(1.0, 50.0), (3.0, 20.0)], (4.0, 80.0))
    gain = expected_gain(np.array([2.0, 0.0]), np.log([30.0, 70.0]), np.array([1e-6, 1e-6]), steps)
    # (2, 30) adds width 1 x (50 - 30); (0, 70) adds width 1 x (80 - 70).
    assert gain == pytest.approx([20.0, 10.0], rel=1e-4)


def test_expected_gain_agrees_with_monte_carlo() -> None:
    steps = staircase([(1.0, 50.0), (3.0, 20.0)], (4.0, 80.0))
    macs, mean, sd = np.array([1.5]), np.array([3.5]), np.array([0.4])
    errors = np.exp(np.random.default_rng(0).normal(mean[0], sd[0], 400_000))
    area = sum(
        max(0.0, high - max(low, macs[0])) * np.maximum(level - errors, 0).mean() for low, high, level in steps.tolist()
    )
    assert expected_gain(macs, mean, sd, steps)[0] == pytest.approx(area, rel=5e-3)


def test_surrogate_ranks_unseen_configurations() -> None:
    surrogate = Surrogate(space())
    assert surrogate.fit(observed(40, seed=0))
    unseen = [o.config for o in observed(30, seed=1)]
    mean, sd = surrogate.predict(unseen)
    truth = np.array([ln_error(config) for config in unseen])
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    assert (sd > 0).all()


def test_stopped_trial_takes_part_with_its_expected_end() -> None:
    finals = [
        Observation(o.config, o.ln_macs, {0.5: o.ln_error[1.0] + 0.5, 1.0: o.ln_error[1.0]}) for o in observed(8, 0)
    ]
    stopped = Observation(finals[0].config, finals[0].ln_macs, {0.5: 2.5})
    targets, variance = expected_ends([*finals, stopped])
    assert targets[-1] == pytest.approx(2.0, abs=0.02)
    assert variance[-1] >= variance[0]


def test_model_that_was_left_untrained_is_a_forecast_to_the_surrogate_and_a_point_on_the_front() -> None:
    trained = [
        Observation(o.config, o.ln_macs, {0.0: o.ln_error[1.0] + 0.5, 1.0: o.ln_error[1.0]}, whole=True)
        for o in observed(8, 0)
    ]
    left = Observation(trained[0].config, trained[0].ln_macs, {0.0: 2.5}, whole=True)
    targets, variance = expected_ends([*trained, left])
    assert targets[-1] == pytest.approx(2.0, abs=0.02)
    assert variance[-1] >= variance[0]
    assert (left.ended, trained[0].ended) == (2.5, trained[0].ln_error[1.0])
    assert Observation({}, 0.0, {0.0: 2.5}).ended is None, "it still runs"
    rng = np.random.default_rng(0)
    untrained = [Observation(o.config, o.ln_macs, {0.0: o.ln_error[1.0]}, whole=True) for o in observed(8, 0)]
    assert propose(space(), Surrogate(space()), untrained, ln_macs, lambda _: True, rng) is not None


def test_diverged_trial_counts_as_the_worst_seen() -> None:
    seen = observed(10, 0)
    lost = Observation(seen[0].config, seen[0].ln_macs, {}, diverged=True)
    targets, _ = expected_ends([*seen, lost])
    assert targets[-1] == targets.max()


def test_propose_needs_something_to_go_by() -> None:
    rng = np.random.default_rng(0)
    assert propose(space(), Surrogate(space()), observed(2, 0), ln_macs, lambda _: True, rng) is None


def test_propose_never_returns_what_is_not_feasible() -> None:
    rng = np.random.default_rng(0)
    found = propose(space(), Surrogate(space()), observed(12, 0), ln_macs, lambda c: c["student.depth"] == 3, rng)
    assert found is not None
    assert found.config["student.depth"] == 3


def test_gain_is_a_share_of_the_area_that_the_front_has() -> None:
    steps = staircase([(1.0, 40.0), (2.0, 30.0)], (4.0, 50.0))
    assert _area(steps, 50.0) == (2 - 1) * (50 - 40) + (4 - 2) * (50 - 30)
    gains = []
    for count in (6, 60):
        found = propose(
            space(), Surrogate(space()), observed(count, 0), ln_macs, lambda _: True, np.random.default_rng(0)
        )
        assert found is not None
        gains.append(found.gain)
    assert gains[0] > gains[1] > 0, "the more is known, the less is to be gained"


def test_mutant_stays_in_the_space() -> None:
    rng = np.random.default_rng(0)
    parent = space().draw(rng)
    for child in (mutant(space(), parent, rng) for _ in range(100)):
        assert set(child) == set(parent)
        assert 1 <= int(child["student.depth"]) <= 8
        assert 1e-4 <= float(child["training.lr"]) <= 1e-2


def test_encoding_of_inactive_settings_is_the_middle() -> None:
    row = Encoding(space())([{"method": "dicehubert", "student.depth": 8}])[0]
    assert row.tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]
