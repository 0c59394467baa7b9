"""Searches beside each other, and claims about what several seeds of a search tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.api.searches import Search, open_search

if TYPE_CHECKING:
    from raysearch.front.compare import ComparedSearch
    from raysearch.front.document import SearchDocument
    from raysearch.front.seeds.growth import Growth
    from raysearch.front.seeds.means import ConfigOverSeeds
    from raysearch.planning.claim import Claim


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several searches, compared; printed, it is a table."""

    documents: list[SearchDocument]
    """The searches, in the order given."""
    seeds: bool
    """Whether the searches differ in their seed alone."""
    at: Sequence[float] | None = None
    """Numbers of core-seconds after which hypervolumes are compared. None if they are not."""

    @property
    def rows(self) -> list[ComparedSearch] | list[ConfigOverSeeds] | list[Growth]:
        """One row a search; of searches that differ in their seed, one a configuration that all of them completed.

        Against core-seconds, one row has a search under all its seeds.
        """
        if self.at is not None:
            from raysearch.front.seeds.growth import growths

            return growths(self.documents, self.at)
        if self.seeds:  # SciPy is loaded for their means alone
            from raysearch.front.seeds.means import average_over_seeds

            return average_over_seeds(self.documents)
        from raysearch.front.compare import compare_searches

        return compare_searches(self.documents)

    def __str__(self) -> str:
        return self.table()

    def table(self, width: int | None = None) -> str:
        """The rows as a table to read. Columns that make its lines longer than `width` are left out and named."""
        if self.at is not None:
            from raysearch.front.seeds.growth import growth_table

            return growth_table(self.documents, self.at, width)
        if self.seeds:
            from raysearch.front.seeds.means import seeds_table

            return seeds_table(self.documents, width)
        from raysearch.front.compare import compare_table

        return compare_table(self.documents, width)

    def draw(self, png: Path) -> None:
        """Writes a picture of the hypervolumes against core-seconds, with their spread over seeds."""
        from raysearch.front.seeds.growth import draw_growth

        draw_growth(self.documents, png)

    __repr__ = __str__


def compare(
    searches: Sequence[Search | str | Path],
    *,
    seeds: bool = False,
    at: Sequence[float] | None = None,
    storage: str | Path | None = None,
) -> Comparison:
    """Fronts of several searches beside each other: sizes, hypervolumes, the best within the same budgets.

    A search is one that was opened, a name, or a file that `Search.record` wrote. With `seeds`, they are one search
    under several seeds, and each setting has the mean of its errors with an interval. With `at`, the hypervolumes are
    compared after so many core-seconds, those of a training that trials share included; if it is empty, after six
    numbers of them. Searches whose names differ in the number at their end, such as `star-0` and `star-1`, are then one
    search under several seeds.
    Raises: InputError if there is no such search.
    """
    return Comparison(_documents(searches, storage), seeds, at)


def judge_claim(
    claim: str,
    searches: Sequence[Search | str | Path],
    *,
    difference: float | None = None,
    storage: str | Path | None = None,
) -> Claim:
    """Whether a claim such as `oskdft < ft-only` holds over seeds, and how many seeds and hours would tell it.

    The searches differ in their seed; each is one that was opened, a name, or a file that `Search.record` wrote.
    `difference` is the size in percentage points that is to be told, by default the one that was found.
    Raises: InputError if the claim is none, or a search does not have one complete trial of each side.
    """
    from raysearch.planning.claim import judge_claim as judge

    return judge(claim, _documents(searches, storage), difference)


def _documents(searches: Sequence[Search | str | Path], storage: str | Path | None) -> list[SearchDocument]:
    return [(one if isinstance(one, Search) else open_search(one, storage=storage)).document for one in searches]
