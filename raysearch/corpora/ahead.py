"""Makes batches in other processes, ahead of the process that trains on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset, get_worker_info

from raysearch.errors import InputError, WorkError

Made = TypeVar("Made")


def ahead(make: Callable[[int], Made], step: int, readers: int) -> Iterator[Made]:
    """An endless stream of `make(step)`, `make(step + 1)` and so on.

    They are made by `readers` processes, or by this process if that is 0. What `make` gives must depend on the step
    alone: then the number of processes changes nothing.
    Raises: whatever `make` raises, when its step is reached.
    """
    if not readers:
        yield from map(make, count(step))
        return
    # Readers are forked. A new interpreter would spend seconds on its imports and begin without the audio in memory.
    steps: Any = count(step)
    # `batch_size=None`: every item is a batch already, so the DataLoader must not make batches of its own.
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
    """Whether this process makes batches for another one."""
    return get_worker_info() is not None


class _Made(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        try:
            return self._make(step)
        except (InputError, WorkError) as err:
            # The DataLoader would turn a raised error into a traceback; returned, it keeps its one line.
            return err


def _as_it_is(found: Any) -> Any:
    # The DataLoader's own collation would turn lists and arrays into tensors.
    return found
