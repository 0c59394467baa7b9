import math

import pytest

from raysearch.deploy.choosing import ExportCost, Limits, choose_candidate, exports_within, members_within
from raysearch.errors import InputError
from raysearch.front.document import SearchDocument, document
from raysearch.front.trials import Cost, TrialRecord
from tests.front.judged_trials import judged_trial

OBJECTIVES = ["macs", "per"]


def trial(number: int, macs_g: float, per: float, half: float, wer: float = math.nan) -> TrialRecord:
    metrics = {"eval/per": per, "eval/per_low": per - half, "eval/per_high": per + half, "eval/wer": wer}
    return TrialRecord(
        number=number,
        state="complete",
        config={"method": "dicehubert"},
        metrics=metrics,
        cost=Cost(macs_g=macs_g, params_m=macs_g / 10),
    )


@pytest.fixture
def search() -> SearchDocument:
    """Trial 2 leads trial 1 within noise; trial 3 leads both clearly; trial 4 is dominated."""
    trials = [
        trial(0, 10, 40, 2, wer=50),
        trial(1, 40, 30, 2, wer=60),
        trial(2, 90, 29, 2, wer=55),
        trial(3, 160, 20, 2, wer=45),
        trial(4, 170, 39, 2, wer=10),
    ]
    return document("made-up", OBJECTIVES, trials, [400.0, 100.0])


def pick(search: SearchDocument, objective: str | None = None, knee: bool = False, cheapest: bool = False, **limits):
    asked = Limits(**limits)
    return choose_candidate(search, members_within(search, asked), asked, objective, knee=knee, cheapest=cheapest)


def test_least_error_within_each_budget(search: SearchDocument) -> None:
    assert [pick(search, macs_g=budget).trial for budget in (10, 50, 1000)] == [0, 1, 3]


def test_best_within_the_limits_is_taken_and_cheaper_ones_like_it_are_named(search: SearchDocument) -> None:
    found = pick(search, macs_g=100)
    assert found.trial == 2
    assert found.notes == [
        "trial 1 (PER % 30.00, 40 GMAC) is cheaper and cannot be told from trial 2 (PER % 29.00, 90 GMAC): "
        "their intervals overlap"
    ]


def test_cheapest_is_taken_of_those_that_cannot_be_told_from_the_best(search: SearchDocument) -> None:
    found = pick(search, macs_g=100, cheapest=True)
    assert found.trial == 1
    assert "cannot be told from trial 2" in found.notes[0]
    assert pick(search, cheapest=True).trial == 3
    assert pick(search, macs_g=10, cheapest=True).notes == []


def test_cheapest_of_several_alike_is_the_cheapest_of_all() -> None:
    trials = [trial(0, 10, 33, 5), trial(1, 20, 31, 5), trial(2, 30, 30, 5)]
    found = pick(document("made-up", OBJECTIVES, trials, [400.0, 100.0]), cheapest=True)
    assert found.trial == 0


def test_pairs_tell_apart_what_intervals_do_not() -> None:
    """Trial 1 errs in fifteen of 120 cuts less than trial 0. Trial 2 errs in one less, but elsewhere."""
    errors = ([1] * 60 + [0] * 60, [1] * 45 + [0] * 75, [0] * 60 + [1] * 44 + [0] * 16)
    trials = [judged_trial(number, 10.0 * (number + 1), one) for number, one in enumerate(errors)]
    found = choose(trials)
    assert found.trial == 2
    # Trial 1 is clearly better than trial 0, but trial 2 errs where both are right.
    assert found.notes[-1].startswith(
        "trial 1 (WER % 37.50, 20 GMAC) is cheaper and cannot be told from trial 2 (WER % 36.67, 30 GMAC): "
        "on the same cuts it has 0.83 points more ("
    )
    assert choose(trials[:2]).notes == []
    assert choose(trials[:2], cheapest=True).trial == 1
    bare = [one.model_copy(update={"evidence": {}}) for one in trials[:2]]
    assert choose(bare).notes[0].endswith("their intervals overlap")
    assert choose(bare, cheapest=True).trial == 0


def choose(trials: list[TrialRecord], cheapest: bool = False):
    made = document("made-up", ["macs", "wer"], trials, [400.0, 100.0])
    return choose_candidate(made, members_within(made, Limits()), Limits(), None, cheapest=cheapest)


def test_knee_and_cheapest_together_are_refused(search: SearchDocument) -> None:
    with pytest.raises(InputError, match="--knee: given with --cheapest"):
        pick(search, knee=True, cheapest=True)


def test_params_and_errors_limit_too(search: SearchDocument) -> None:
    assert pick(search, params_m=5).trial == 1
    assert pick(search, objective="macs", errors={"per": 25}).trial == 3
    assert pick(search, objective="macs", errors={"wer": 50}).trial == 0


def test_other_objective_chooses_otherwise(search: SearchDocument) -> None:
    assert pick(search, macs_g=100, objective="wer").trial == 0


def test_knee_is_the_fronts_own(search: SearchDocument) -> None:
    members = members_within(search, Limits(macs_g=100))
    depths = {}
    for member in members:
        x = math.log(member.cost.macs_g / 10) / math.log(90 / 10)
        depths[member.number] = -x - (member.metrics["eval/per"] - 29) / 11
    assert pick(search, macs_g=100, knee=True).trial == max(depths, key=depths.__getitem__)


def test_measured_limits_use_the_exports(search: SearchDocument) -> None:
    costs = {number: ExportCost(size_mb=number + 1.0, latency_ms=10.0 * number) for number in range(5)}
    members = members_within(search, Limits())
    assert [m.number for m in exports_within(members, Limits(latency_ms=15), costs)] == [0, 1]
    assert [m.number for m in exports_within(members, Limits(size_mb=3.5, latency_ms=25), costs)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"--max-size: 0\.5; expected at least 1"):
        exports_within(members, Limits(size_mb=0.5), costs)


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"macs_g": 5}, r"--max-macs: 5; expected at least 10"),
        ({"params_m": 0.1}, r"--max-params: 0\.1; expected at least 1"),
        ({"errors": {"per": 1}}, r"--max per: 1; expected at least 20"),
        ({"errors": {"eer": 1}}, r"--max: eer: not measured in made-up"),
        ({"macs_g": 50, "errors": {"per": 25}}, r"--max per: 25; expected at least 30, the least of what is left"),
    ],
)
def test_limits_that_nothing_keeps_to_name_the_nearest(search: SearchDocument, limits: dict, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        members_within(search, Limits(**limits))


def test_unmeasured_objective_is_refused(search: SearchDocument) -> None:
    with pytest.raises(InputError, match="--objective: eer"):
        pick(search, objective="eer")


def test_search_without_results_is_refused() -> None:
    with pytest.raises(InputError, match="no complete trial"):
        members_within(document("empty", OBJECTIVES, [], [400.0, 100.0]), Limits())


def test_two_errors_cheaper_one_is_alike_only_if_it_is_clearly_worse_in_neither() -> None:
    def both(number: int, macs_g: float, per: float, eer: float) -> TrialRecord:
        made = trial(number, macs_g, per, half=2)
        return made.model_copy(
            update={"metrics": made.metrics | {"eval/eer": eer, "eval/eer_low": eer - 2, "eval/eer_high": eer + 2}}
        )

    trials = [both(0, 10, 22, 40), both(1, 20, 21, 11), both(2, 90, 20, 10), both(3, 95, 40, 5)]
    search = document("made-up", ["macs", "per", "eer"], trials, [400.0, 100.0, 100.0])
    assert pick(search).trial == 2
    assert pick(search, cheapest=True).trial == 1, "trial 0 knows phones as well, but not the speakers"
    assert pick(search, objective="eer").trial == 3
    assert pick(search, objective="eer", errors={"per": 30}).trial == 2
    assert pick(search, errors={"eer": 8}).trial == 3
    assert pick(search, macs_g=50, errors={"eer": 12}).trial == 1


def test_two_costs_cheaper_one_is_dearer_in_neither() -> None:
    small = trial(0, 50, 20, 2).model_copy(update={"cost": Cost(macs_g=50, params_m=1)})
    best = trial(1, 40, 19, 2).model_copy(update={"cost": Cost(macs_g=40, params_m=9)})
    few = trial(2, 30, 20, 2).model_copy(update={"cost": Cost(macs_g=30, params_m=9)})
    search = document("made-up", ["params", "macs", "per"], [small, best, few], [90.0, 400.0, 100.0])
    assert pick(search, cheapest=True).trial == 2
