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
    from raysearch.front.seeds import ConfigOverSeeds
    from raysearch.planning.claim import Claim


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several searches, compared; printed, it is a table."""

    documents: list[SearchDocument]
    """The searches, in the order given."""
    seeds: bool
    """Whether the searches differ in their seed alone."""

    @property
    def rows(self) -> list[ComparedSearch] | list[ConfigOverSeeds]:
        """One row a search; of searches that differ in their seed, one a configuration that all of them completed."""
        if self.seeds:  # SciPy is loaded for their means alone
            from raysearch.front.seeds import average_over_seeds

            return average_over_seeds(self.documents)
        from raysearch.front.compare import compare_searches

        return compare_searches(self.documents)

    def __str__(self) -> str:
        return self.table()

    def table(self, width: int | None = None) -> str:
        """The rows as a table to read. Columns that make its lines longer than `width` are left out and named."""
        if self.seeds:
            from raysearch.front.seeds import seeds_table

            return seeds_table(self.documents, width)
        from raysearch.front.compare import compare_table

        return compare_table(self.documents, width)

    __repr__ = __str__


def compare(
    searches: Sequence[Search | str | Path], *, seeds: bool = False, storage: str | Path | None = None
) -> Comparison:
    """Fronts of several searches beside each other: sizes, hypervolumes, the best within the same budgets.

    A search is one that was opened, a name, or a file that `Search.record` wrote. With `seeds`, they are one search
    under several seeds, and each setting has the mean of its errors with an interval.
    Raises: InputError if there is no such search.
    """
    return Comparison(_documents(searches, storage), seeds)


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
