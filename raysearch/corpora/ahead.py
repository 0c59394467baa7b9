"""Batches that other processes make ahead of the one that trains on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset, get_worker_info

from raysearch.errors import InputError, WorkError

Made = TypeVar("Made")


def ahead(make: Callable[[int], Made], step: int, readers: int) -> Iterator[Made]:
    """`make(step)`, `make(step + 1)` and so on, without end: made by `readers` processes, or by this one if there are
    none. What `make` gives must depend on the step alone; then the number of processes changes nothing.

    Raises: what `make` raises, in its turn.
    """
    if not readers:
        yield from map(make, count(step))
        return
    # Forked: a new interpreter would pay for its imports, seconds each, and begin without the audio in memory.
    steps: Any = count(step)
    made: Any = DataLoader(
        _Made(make),
        sampler=steps,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=readers,
        multiprocessing_context="fork",
    )
    for found in made:
        if isinstance(found, InputError | WorkError):
            raise found
        yield found


def is_reader() -> bool:
    """Whether this process is one that makes batches for another one."""
    return get_worker_info() is not None


class _Made(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        try:
            return self._make(step)
        except (InputError, WorkError) as err:
            # Raised here, it would arrive as a traceback in place of its one line.
            return err


def _as_it_is(found: Any) -> Any:
    return found
