"""Past searches are worth much if they rank alike, and nothing if they mislead."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from raysearch.errors import InputError
from raysearch.search.memory.memory import Memory, translated
from raysearch.search.memory.pasts import Past, chance
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.search.surrogate import Observation, Surrogate
from raysearch.spec.space import Config, Distribution, Space
from tests.search.made_up import TEACHER, error_of, run, spec_with
from tests.search.memory.made_up_pasts import past, upside_down


def observed(count: int, seed: int = 7) -> list[Observation]:
    rng = np.random.default_rng(seed)
    drawn = [spec_with().search_space.draw(rng) for _ in range(count)]
    return [Observation(config, 0.0, {1.0: float(np.log(error_of(config)))}, whole=True) for config in drawn]


def off(surrogate: Surrogate) -> float:
    """Mean difference between predicted and true ln errors of the whole space."""
    unseen = observed(40, seed=8)
    mean, _ = surrogate.predict([one.config for one in unseen])
    return float(np.abs(mean - [one.ln_error[1.0] for one in unseen]).mean())


def test_related_past_makes_a_few_trials_tell_more() -> None:
    spec = spec_with()
    alone, guided = Surrogate(spec.search_space), Surrogate(spec.search_space, Memory(spec, [past(error=_worse)]))
    assert alone.fit(observed(5))
    assert guided.fit(observed(5))
    assert guided.guided
    assert off(guided) < 0.6 * off(alone)


def _worse(config: dict[str, Any]) -> float:
    """Errors of another corpus: all twice as large, and some more than others."""
    return 2 * error_of(config) + float(config["student.depth"])


def test_hostile_past_counts_nothing_and_changes_no_prediction() -> None:
    spec = spec_with()
    memory = Memory(spec, [upside_down(past())])
    alone, guided = Surrogate(spec.search_space), Surrogate(spec.search_space, memory)
    alone.fit(observed(8))
    guided.fit(observed(8))
    assert memory.taus[0] < -0.5
    assert memory.best == []
    unseen = [one.config for one in observed(20, seed=9)]
    assert np.array_equal(guided.predict(unseen), alone.predict(unseen))


def test_hostile_past_beside_a_related_one_counts_nothing() -> None:
    spec = spec_with()
    both, one = Memory(spec, [upside_down(past()), past()]), Memory(spec, [past()])
    configs, ln_errors = [o.config for o in observed(8)], np.array([o.ln_error[1.0] for o in observed(8)])
    assert both.fit(configs, ln_errors)
    assert one.fit(configs, ln_errors)
    assert both.predict(configs) == pytest.approx(one.predict(configs))


def test_guess_that_explains_observations_worse_than_none_is_left_out() -> None:
    """Its order is right by half, but it says nothing that the trials do not say themselves."""
    spec = spec_with()
    noise = np.random.default_rng(3)
    memory = Memory(spec, [past(error=lambda config: error_of(config) * float(np.exp(noise.normal(0, 2))))])
    surrogate = Surrogate(spec.search_space, memory)
    assert surrogate.fit(observed(30))
    assert not surrogate.guided


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_chance_is_the_spread_of_tau_over_all_orders(count: int) -> None:
    taus = [kendalltau(range(count), order).statistic for order in permutations(range(count))]
    assert chance(count) == pytest.approx(np.std(taus))


def test_past_that_ranks_no_better_than_by_chance_counts_nothing() -> None:
    memory = Memory(spec_with(), [past()])
    seen = observed(12)
    configs = [one.config for one in seen]
    assert memory.fit(configs, np.array([one.ln_error[1.0] for one in seen]))
    ordered = [configs[place] for place in np.argsort(memory.predict(configs))[::3]]
    # Four of six pairs are in order: a tau of 1/3, which chance exceeds.
    assert not memory.fit(ordered, np.array([2.0, 1.0, 4.0, 3.0]))
    assert memory.taus == [pytest.approx(1 / 3)]
    assert str(memory) == "learns from 1 search: past (tau 0.33, counts nothing, 20 trials)"


def test_taus_are_unknown_before_three_trials() -> None:
    memory = Memory(spec_with(), [past()])
    assert not memory.fit([o.config for o in observed(2)], np.zeros(2))
    assert np.isnan(memory.taus[0])
    assert str(memory) == "learns from 1 search: past (20 trials)"


def test_trials_that_are_all_alike_prove_nothing() -> None:
    memory = Memory(spec_with(), [past()])
    assert not memory.fit([o.config for o in observed(5)], np.full(5, 3.0))
    assert str(memory) == "learns from 1 search: past (tau 0.00, counts nothing, 20 trials)"


def test_of_a_past_with_another_error_ranks_alone_are_believed() -> None:
    spec = spec_with()
    squared = past(error=lambda config: error_of(config) ** 2 / 100)
    ranked = [Memory(spec, [replace(one, judged_by="eer")]) for one in (past(), squared)]
    configs, ln_errors = [o.config for o in observed(8)], np.array([o.ln_error[1.0] for o in observed(8)])
    for memory in ranked:
        assert memory.fit(configs, ln_errors)
    assert ranked[0].predict(configs) == pytest.approx(ranked[1].predict(configs))


def configs_of(journal: str, pasts: list[Past], trials: int) -> list[Config]:
    spec = spec_with()
    study = Study.create(journal, str(len(pasts)), spec.objectives, {})
    memory = Memory(spec, pasts) if pasts else None
    run(Searcher(spec, study, TEACHER, trials=trials, say=lambda _: None, memory=memory))
    return [one.config for one in study.records() if one.state == "complete"]


def test_search_with_a_hostile_past_is_that_without(journal: str) -> None:
    assert configs_of(journal, [upside_down(past())], 10) == configs_of(journal, [], 10)


def test_past_that_has_proved_itself_cuts_the_beginning_short(journal: str) -> None:
    alone, guided = configs_of(journal, [], 6), configs_of(journal, [past()], 6)
    assert guided[:3] == alone[:3]
    assert guided[3:] != alone[3:]
    assert sum(map(error_of, guided[3:])) < sum(map(error_of, alone[3:]))


def test_same_seed_and_pasts_give_the_same_search_after_an_interruption(
    study_storage: str, start: Callable[..., Searcher]
) -> None:
    spec = spec_with(name="whole", search={"trials": 12, "updates": 100, "seed": 3})
    memory = lambda: Memory(spec, [past(), upside_down(past())])  # noqa: E731

    def searcher(name: str) -> Searcher:
        own = spec.model_copy(update={"name": name})
        try:
            study = Study.open(study_storage, name)
        except KeyError:
            study = Study.create(study_storage, name, own.objectives, {})
        return Searcher(own, study, TEACHER, trials=12, say=lambda _: None, memory=memory())

    run(searcher("whole"))
    run(searcher("halves"), until=4)
    run(searcher("halves"))
    whole, halves = (
        [one.config for one in Study.open(study_storage, name).records() if one.state == "complete"]
        for name in ("whole", "halves")
    )
    assert whole[:4] == halves[:4]
    assert len(whole) == len(halves) == 12
    assert Study.open(study_storage, "whole").taus()[0] > 0.5
    assert Study.open(study_storage, "whole").taus()[1] < 0
    # Nothing was known before the last trial of that which came after it.
    assert Study.open(study_storage, "whole").judged_on == 11


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"space": {"training.lr": {"float": [1e-4, 1e-2], "log": True}}}, "it searched training.lr; expected one of"),
        ({"space": {}}, "it searched nothing; expected one of student.depth, student.width, targets.clusters"),
    ],
)
def test_past_without_a_setting_in_common_is_refused(changes: dict[str, Any], expected: str) -> None:
    other = past(spec_with(**changes), error=lambda config: 50 + 1e3 * float(config.get("training.lr", 0)))
    with pytest.raises(InputError, match=expected) as caught:
        Memory(spec_with(), [past(), other])
    assert str(caught.value).startswith("search.learn_from[1]: past: ")


def test_past_of_too_few_trials_is_refused() -> None:
    with pytest.raises(InputError, match=r"learn_from\[0\]: past: 3 complete trials; expected at least 4"):
        Memory(spec_with(), [past(trials=3)])


def test_past_on_a_wider_space_with_other_methods_still_ranks() -> None:
    other = spec_with(
        method={"choice": ["fasthubert", "dicehubert"]},
        space={"student.depth": {"int": [1, 12]}, "student.width": {"choice": [64, 128, 384]}},
    )
    wide = past(other, 30, lambda config: 95 - 5 * config["student.depth"] - config["student.width"] / 16)
    memory = Memory(spec_with(), [wide])
    assert memory.fit([o.config for o in observed(20)], np.array([o.ln_error[1.0] for o in observed(20)]))
    assert memory.taus[0] > 0.5
    for config in memory.best:
        assert 1 <= int(config["student.depth"]) <= 6
        assert config["student.width"] in (64, 128, 256)


SPACE = Space(
    ["dicehubert", "hjpruning"],
    {
        key: Distribution.checked(one)
        for key, one in {
            "student.depth": {"int": [2, 8], "step": 2},
            "student.width": {"choice": [64, 128, 256]},
            "student.front_end": {"choice": ["logmel-25hz", "waveform"]},
            "training.lr": {"float": [1e-4, 1e-2], "log": True},
            "pruning.macs_ratio": {"float": [0.2, 0.8]},
        }.items()
    },
)
VALUES = st.one_of(st.integers(-20, 2000), st.floats(-1, 1e3), st.sampled_from(["waveform", "other"]), st.booleans())


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"method": st.sampled_from(["dicehubert", "hjpruning", "oskdft"])},
        optional=dict.fromkeys(SPACE.distributions, VALUES),
    )
)
def test_configuration_of_a_past_is_a_point_of_this_space_or_none(config: Config) -> None:
    found = translated(config, SPACE, np.random.default_rng(0))
    if found is None:
        return
    assert found["method"] == config["method"]
    # A point of the space is what the space itself would choose, key by key.
    assert SPACE.walk(lambda key, _: found[key]) == found
    for key, value in found.items():
        if key == "method":
            continue
        one = SPACE.distributions[key]
        if one.choice is not None:
            assert value in one.choice
        elif one.int_ is not None:
            assert isinstance(value, int)
            assert value in one.values()
        else:
            low, high = one.float_ or (0, 0)
            assert low <= float(value) <= high
        own = config.get(key)
        if own is not None and one.choice is not None and own in one.choice:
            assert value == own
