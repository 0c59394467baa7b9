"""Expected hypervolume improvement against Monte Carlo, against the staircase, and against areas counted by hand."""

from collections.abc import Callable

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from raysearch.search.acquisition import Known, Proposal, boxes, expected_gain, mutant, propose
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


def known_with(feasible: Callable[[Config], bool] = lambda _: True) -> Known:
    return Known(lambda config: [ln_macs(config)], ln_macs, feasible)


def proposed(observations: list[Observation], known: Known | None = None) -> Proposal | None:
    """What is proposed where there is one error."""
    return propose(space(), [Surrogate(space())], [observations], known or known_with(), np.random.default_rng(0))


def test_boxes_of_two_objectives_are_the_steps_up_to_the_front() -> None:
    steps = boxes(np.array([[1.0, 50.0], [2.0, 60.0], [3.0, 20.0]]), np.array([4.0, 80.0]))
    assert steps[0].tolist() == [[-np.inf, -np.inf], [1.0, -np.inf], [3.0, -np.inf]]
    assert steps[1].tolist() == [[1.0, 80.0], [3.0, 50.0], [4.0, 20.0]]


def gain_of(points: object, reference: object, costs: object, mean: object, sd: object) -> np.ndarray:
    """The expected gain of one candidate for each row of `costs`, `mean` and `sd`."""
    cut = boxes(np.array(points, dtype=float), np.array(reference, dtype=float))
    return expected_gain(*(np.array(part, dtype=float) for part in (costs, mean, sd)), cut)


def test_expected_gain_of_a_sure_point_is_the_area_it_adds() -> None:
    points, sure = [[1.0, 50.0], [3.0, 20.0]], [[1e-6], [1e-6]]
    gain = gain_of(points, [4, 80], [[2.0], [0.0]], np.log([[30.0], [70.0]]), sure)
    # (2, 30) adds width 1 x (50 - 30); (0, 70) adds width 1 x (80 - 70).
    assert gain == pytest.approx([20.0, 10.0], rel=1e-4)


def test_expected_gain_of_a_sure_point_in_three_objectives_is_the_volume_it_adds() -> None:
    # A front of one point in a cube of 4: (1, 2, 2) leaves (0, 3, 1) the volume 4 x 1 x 3, less the 3 x 1 x 2 of it
    # that the point has already. The cost of the second is that of the point, and it adds 3 x (3 x 3 - 2 x 2).
    gain = gain_of([[1, 2, 2]], [4, 4, 4], [[0.0], [1.0]], np.log([[3.0, 1.0], [1.0, 1.0]]), np.full((2, 2), 1e-6))
    assert gain == pytest.approx([12 - 6, 15], rel=1e-4)


# Fronts, candidates and uncertainties of any kind: also candidates beyond the reference, and equal points.
numbers = st.integers(1, 9).map(float)
fronts = st.lists(st.tuples(numbers, numbers, numbers), max_size=7)
DRAWS = np.stack([norm.ppf(np.random.default_rng(7).permutation((np.arange(4000) + 0.5) / 4000)) for _ in range(2)])
DRAWS[1] = np.random.default_rng(8).permutation(DRAWS[0])

RARE = 0.02
"""What an event may be worth of which six hundred draws have none: the volumes are of tens and hundreds."""


@pytest.mark.parametrize("costs", [1, 2])
@given(fronts, st.tuples(numbers, numbers, numbers), st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.6)))
@settings(deadline=None, max_examples=25)
def test_expected_gain_in_three_objectives_agrees_with_monte_carlo(
    costs: int, front: list[tuple[float, ...]], at: tuple[float, ...], sds: tuple[float, ...]
) -> None:
    """The oracle draws errors, and asks another library for the volume with and without each of the points."""
    reference, points = np.array([8.0, 7.0, 8.0]), np.array(front, dtype=float).reshape(-1, 3)
    mean, sd = np.log(at[costs:]), np.array(sds[: 3 - costs])
    errors = np.exp(mean[:, None] + sd[:, None] * DRAWS[: 3 - costs]).T[:600]
    drawn = np.hstack([np.tile(at[:costs], (len(errors), 1)), errors])
    before = moocore.hypervolume(points, ref=reference)
    grown = [moocore.hypervolume(np.vstack([points, [one]]), ref=reference) - before for one in drawn]
    found = gain_of(points, reference, [at[:costs]], [mean], [sd])[0]
    assert found == pytest.approx(np.mean(grown), abs=5 * np.std(grown) / np.sqrt(len(grown)) + RARE)


@given(st.lists(st.tuples(numbers, numbers), max_size=8), numbers, st.floats(0.5, 2.5), st.floats(0.01, 0.6))
@settings(deadline=None)
def test_expected_gain_in_two_objectives_is_to_the_bit_that_of_the_staircase(
    front: list[tuple[float, float]], cost: float, mean: float, sd: float
) -> None:
    """The closed form for one cost and one error, which searches had before there was a third objective."""
    limit, worst = 8.0, 8.0
    at, level, gains = -np.inf, worst, []
    steps = []
    for here, error in sorted(front):
        if error < level and here < limit:
            if here > at:
                steps.append((at, here, level))
            at, level = here, error
    for low, high, below in [*steps, (at, limit, level)]:
        z = (np.log(below) - mean) / sd
        shortfall = below * norm.cdf(z) - np.exp(mean + sd**2 / 2) * norm.cdf(z - sd)
        gains.append(max(0.0, high - max(low, cost)) * max(shortfall, 0.0))
    points = np.array(front, dtype=float).reshape(-1, 2)
    assert gain_of(points, [limit, worst], [[cost]], [[mean]], [[sd]])[0] == np.array([gains]).sum(axis=1)[0]


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
    untrained = [Observation(o.config, o.ln_macs, {0.0: o.ln_error[1.0]}, whole=True) for o in observed(8, 0)]
    assert proposed(untrained) is not None


def test_diverged_trial_counts_as_the_worst_seen() -> None:
    seen = observed(10, 0)
    lost = Observation(seen[0].config, seen[0].ln_macs, {}, diverged=True)
    targets, _ = expected_ends([*seen, lost])
    assert targets[-1] == targets.max()


def test_propose_needs_something_to_go_by() -> None:
    assert proposed(observed(2, 0)) is None


def test_propose_never_returns_what_is_not_feasible() -> None:
    found = proposed(observed(12, 0), known_with(lambda config: config["student.depth"] == 3))
    assert found is not None
    assert found.config["student.depth"] == 3


def test_the_more_is_known_the_less_is_to_be_gained() -> None:
    few, many = proposed(observed(6, 0)), proposed(observed(60, 0))
    assert few is not None
    assert many is not None
    assert few.gain > many.gain > 0


def of_speakers(config: Config) -> float:
    """ln of a second error, which wide students are bad at."""
    return float(3.0 + 0.5 * np.log(float(config["student.width"])) - 0.1 * float(config["student.depth"]))


def test_second_error_changes_what_is_proposed() -> None:
    words = observed(30, 0)
    speakers = [Observation(o.config, o.ln_macs, {1.0: of_speakers(o.config)}) for o in words]
    rng = np.random.default_rng(0)
    both = propose(space(), [Surrogate(space()), Surrogate(space())], [words, speakers], known_with(), rng)
    alone = proposed(words)
    assert both is not None
    assert alone is not None
    assert of_speakers(both.config) < of_speakers(alone.config)


def test_trial_that_lacks_one_of_two_errors_is_no_point_of_the_front() -> None:
    words = observed(3, 0)
    speakers = [Observation(o.config, o.ln_macs, {} if at else {1.0: 3.0}) for at, o in enumerate(words)]
    surrogates = [Surrogate(space()), Surrogate(space())]
    assert propose(space(), surrogates, [words, speakers], known_with(), np.random.default_rng(0)) is None


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
