"""Claims on made-up searches. What is expected was worked out by hand, or stands in printed tables."""

from __future__ import annotations

from math import isnan, sqrt

import pytest

from raysearch.errors import InputError
from raysearch.front.document import SearchDocument, document
from raysearch.planning.claim import judge_claim, seeds_to_tell, sides
from tests.front.made_up_trials import trial

ONE, OTHER = {"method": "oskdft"}, {"method": "ft-only"}


def search(name: str, one: float, other: float, **kept: object) -> SearchDocument:
    """A search with a trial of each side, whose test errors are a point higher than those on dev."""
    metrics = [{"eval/wer": wer, "test/wer": wer + 1, "cost/seconds": 900.0} for wer in (one, other)]
    trials = [
        trial(0, 20, one, config=ONE, metrics=metrics[0]),
        trial(1, 20, other, config=OTHER, metrics=metrics[1], **kept),
    ]
    return document(name, ["macs", "wer"], trials, [100, 100])


@pytest.fixture
def searches() -> list[SearchDocument]:
    """Differences of -1, -2 and -3."""
    return [search("a", 10, 11), search("b", 12, 14), search("c", 11, 14)]


def test_claim_on_three_seeds_by_hand(searches: list[SearchDocument]) -> None:
    found = judge_claim("oskdft < ft-only", searches)
    dev = found.splits["dev"]
    assert (dev.one.mean, dev.one.deviation) == (11, 1)
    assert (dev.other.mean, dev.other.deviation) == (13, pytest.approx(sqrt(3)))
    # The mean is -2, the deviation 1, and Student's t for two degrees of freedom 4.303.
    assert (dev.difference.mean, dev.deviation) == (-2, 1)
    assert dev.difference.half == pytest.approx(4.303 / sqrt(3), abs=1e-3)
    # -2 +- 2.48 holds 0.
    assert dev.verdict == "cannot be told"
    # A difference of two deviations: the power of a paired t test is 75 % with 4 pairs and 91 % with 5.
    assert (dev.asked, dev.seeds) == (2, 5)
    # Both sides take half an hour a seed.
    assert (found.seed_s, dev.hours) == (1800, 2.5)
    assert found.splits["test"].difference == dev.difference


@pytest.mark.parametrize(
    ("effect", "pairs"),
    # Sizes of a paired t test at 5 % (two-sided) and a power of 80 %, as power tables and G*Power have them.
    [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)],
)
def test_seeds_are_those_of_printed_power_tables(effect: float, pairs: int) -> None:
    assert seeds_to_tell(effect, 1.0) == pairs
    assert seeds_to_tell(-3 * effect, 3.0) == pairs


def test_differences_without_spread_or_beyond_all_seeds() -> None:
    assert seeds_to_tell(0.1, 0.0) == 2
    assert seeds_to_tell(0.0, 0.0) is None
    assert seeds_to_tell(0.01, 1.0) is None
    assert seeds_to_tell(1000.0, 1.0) == 2


def test_clear_difference_holds_one_way_and_not_the_other(searches: list[SearchDocument]) -> None:
    clear = [search(name, 10 + shift, 15 + 1.1 * shift) for name, shift in zip("abc", (0, 1, 2), strict=True)]
    assert judge_claim("oskdft < ft-only", clear).splits["dev"].verdict == "held"
    assert judge_claim("ft-only < oskdft", clear).splits["dev"].verdict == "did not hold"
    # Half a point at a spread of 1: 34 pairs.
    assert judge_claim("oskdft < ft-only", searches, 0.5).splits["dev"].seeds == 34


def test_table_says_what_it_would_take(searches: list[SearchDocument]) -> None:
    lines = judge_claim("oskdft < ft-only", searches).table().splitlines()
    assert lines[1].split() == ["oskdft", "spread", "ft-only", "spread", "difference", "spread", "claim"]
    assert lines[2].split("  ")[0] == "dev"
    assert "-2.0 +- 2.5" in lines[2]
    assert lines[4] == "dev: a difference of 2 points is told by 5 seeds (2 more, 2.5 h of one worker in all)"
    # In one case of forty the deviation of three values is below 0.16 of the true one, sqrt(0.0506 / 2) by chi-square.
    assert "up to 6.3 times too small" in lines[-1]


def test_sides_are_told_by_method_and_settings_as_tables_name_them() -> None:
    one, other = sides("hjpruning, pruning.units = heads+ffn,macs_ratio=0.5 < macs_ratio=1.0")
    assert one.settings == {"method": "hjpruning", "pruning.units": "heads+ffn", "macs_ratio": "0.5"}
    configs = [
        {"method": "hjpruning", "pruning.macs_ratio": ratio, "pruning.units": units}
        for ratio, units in ((0.5, "heads+ffn"), (0.5, "channels+heads+ffn"), (1.0, "heads+ffn"))
    ]
    found = document(
        "a", ["macs", "wer"], [trial(n, 20, n, config=config) for n, config in enumerate(configs)], [100, 100]
    )
    assert (one.trial(found).number, other.trial(found).number) == (0, 2)


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("oskdft", "'oskdft'; expected two sides such as"),
        ("a < b < c", "'a < b < c'; expected two sides"),
        ("oskdft < ", "'oskdft < '; expected two sides"),
        ("oskdft < macs_ratio=", "'oskdft < macs_ratio=': 'macs_ratio='; expected two sides"),
        ("oskdft < kd", "a: kd: no complete trial; expected a method (ft-only, oskdft) or settings of one"),
    ],
)
def test_claim_that_no_trial_can_answer_is_refused(claim: str, told: str, searches: list[SearchDocument]) -> None:
    with pytest.raises(InputError) as refused:
        judge_claim(claim, searches)
    assert str(refused.value).startswith(told)


def test_one_search_several_trials_and_failed_ones_are_refused(searches: list[SearchDocument]) -> None:
    with pytest.raises(InputError, match=r"^a: one search; expected at least two, which differ in their seed$"):
        judge_claim("oskdft < ft-only", searches[:1])
    with pytest.raises(InputError, match=r"^d: ft-only: no complete trial"):
        judge_claim("oskdft < ft-only", [*searches, search("d", 1, 2, state="failed")])
    several = document(
        "e",
        ["macs", "wer"],
        [trial(n, 20, 9, config={"method": "hjpruning", "pruning.macs_ratio": 0.5 + n / 4}) for n in range(2)],
        [100, 100],
    )
    with pytest.raises(InputError, match=r"^e: hjpruning: 2 trials; expected one: add to it pruning\.macs_ratio$"):
        judge_claim("hjpruning < macs_ratio=0.5", [several, several])


def test_searches_that_noted_no_seconds_then_no_hours() -> None:
    trials = [trial(n, 20, 9 + n, config=config) for n, config in enumerate((ONE, OTHER))]
    found = judge_claim("oskdft < ft-only", [document(name, ["macs", "wer"], trials, [100, 100]) for name in "ab"])
    assert isnan(found.splits["dev"].hours)
    assert "h of one worker" not in found.table()
    assert list(found.splits) == ["dev"]
