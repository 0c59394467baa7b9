"""What the training loop runs: a module, its batches, and how the student in it is judged. No method, no task, no Ray.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder

Prepare = Callable[[int, Batch], Mapping[str, Any]]
"""Update and batch -> arguments of the module, `samples_B` among them. Tensors may lie on any device."""
More = Callable[[Encoder], Mapping[str, float]]
"""Student in eval mode -> metrics that a report holds beside its errors."""


class Batches(Protocol):
    """An endless stream that can be entered at any batch."""

    def from_step(self, step: int) -> Iterator[Batch]: ...


class Evaluate(Protocol):
    """How a student is judged."""

    def __call__(
        self, student: Encoder, final: bool, heads: Mapping[str, nn.Module] | None = None
    ) -> Mapping[str, float]:
        """Errors on dev in percent, as `eval/...`; with `final` also on test, as `test/...`, for reports alone.

        The student is in eval mode. `heads` are those that were trained together with it, by the names of their tasks.
        They are judged as they are. Tasks without one train a new head on the frozen student.
        """


def not_evaluated(student: Encoder, final: bool, heads: Mapping[str, nn.Module] | None = None) -> Mapping[str, float]:
    """No errors: for runs that are judged after they end, as a teacher's is, or not at all."""
    return {}


def nothing_more(student: Encoder) -> Mapping[str, float]:
    """No metrics beside the errors."""
    return {}


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how it is judged."""

    module: nn.Module
    """`module(**inputs)` returns the loss and a dict of detached metrics; its attribute `student` is the student."""
    batches: Batches
    prepare: Prepare
    evaluate: Evaluate = not_evaluated
    heads: Mapping[str, nn.Module] | None = None
    """Heads that are trained with the student, by task: they are judged in place of new ones."""
    more: More = nothing_more
