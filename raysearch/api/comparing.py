"""Searches beside each other."""

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
    opened = [one if isinstance(one, Search) else open_search(one, storage=storage) for one in searches]
    return Comparison([one.document for one in opened], seeds)
