"""What the training loop runs: a module, its batches, and how the student in it is judged.

Nothing here knows a method, a task or Ray.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder
from raysearch.training.loss_module import LossModule

Prepare = Callable[[int, Batch], Mapping[str, Any]]
"""Function from the update's number and a batch to the module's arguments, `samples_B` among them. Tensors may lie on
any device."""
More = Callable[[Encoder], Mapping[str, float]]
"""Function from a student in eval mode to metrics that a report holds beside its errors."""


class Batches(Protocol):
    """An endless stream of batches that can be entered at any of them."""

    def from_step(self, step: int) -> Iterator[Batch]:
        """The batches from number `step` on."""
        ...


class Evaluate(Protocol):
    """A function that judges a student."""

    def __call__(
        self, student: Encoder, final: bool, heads: Mapping[str, Any] | None = None, *, probed: bool = True
    ) -> Mapping[str, float]:
        """Errors on dev in percent, named `eval/...`.

        With `final` there are also errors on test, named `test/...`. They are reported, and nothing is chosen by them.

        The student is in eval mode. `heads` are those that were trained together with it, by the names of their tasks,
        each in the form in which its task judges it. They are judged as they are, and with `probed` a probe stands
        beside them as a second figure. Tasks without one train a new head.
        """


def not_evaluated(
    student: Encoder, final: bool, heads: Mapping[str, Any] | None = None, *, probed: bool = True
) -> Mapping[str, float]:
    """No errors. This is for runs that are judged after they end, as teachers are, or not at all."""
    return {}


def nothing_more(student: Encoder) -> Mapping[str, float]:
    """No metrics beside the errors."""
    return {}


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how it is judged."""

    module: LossModule
    """Module to train, with the student in it."""
    batches: Batches
    prepare: Prepare
    evaluate: Evaluate = not_evaluated
    heads: Mapping[str, Any] | None = None
    """Heads that are trained together with the student, by task. They are judged in place of new ones."""
    more: More = nothing_more
