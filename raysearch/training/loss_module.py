"""What is trained: a module with a student, whose losses are means over a whole update.

An update may have several batches, in several processes. A mean in each of them would let a frame count for more in a
batch that has few of them. So a module first counts what it takes means over, these counts are added up over the whole
update, and each batch then gives its share: a sum, divided by the count of all. The sum of the shares over the batches
of a process, and their mean over processes, is the loss of the update, however its rows were dealt out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder
from raysearch.training.process import world_size

Counts = Mapping[str, Tensor | int]
"""How many of each thing there are, by the thing: frames, tokens, cuts."""


class LossModule(nn.Module):
    """A module that owns the student as its attribute `student`, and whatever else the loss needs."""

    def counts(self, *inputs: Any, **named: Any) -> Counts:
        """What the means of the loss are taken over, and how many of it are in a batch.

        The arguments are those of the batch. The names are the same for every batch.
        """
        raise NotImplementedError

    def share(self, counts: Mapping[str, Tensor], *inputs: Any, **named: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch's share of the loss of its update, and of its metrics. The metrics are detached.

        `counts` holds the counts of the whole update, by which the sums of the batch are divided.
        """
        raise NotImplementedError

    def unread(self) -> Iterable[nn.Parameter]:
        """The student's parameters on which the loss does not depend. They are frozen before training.

        With several processes, DDP waits for the gradient of every parameter that is not frozen.
        """
        return ()

    def forward(
        self, *inputs: Any, counts: Mapping[str, Tensor] | None = None, **named: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The share of a batch. Without `counts` the batch is taken for a whole update, and the share is the loss."""
        if counts is None:
            counts = divisors([self.counts(*inputs, **named)], next(self.parameters()).device)
        return self.share(counts, *inputs, **named)


def divisors(batches: Sequence[Counts], device: torch.device, *, shared: bool = False) -> dict[str, Tensor]:
    """What the sums of an update's batches are divided by: their counts added up, and never less than one.

    With `shared` they are added up over all processes and divided by the number of these, because DDP, torch's
    distributed training, takes the mean of the gradients of all processes.
    """
    names = list(batches[0])
    each = [[torch.as_tensor(own[name], device=device) for own in batches] for name in names]
    totals = torch.stack([torch.stack(own).sum() for own in each])
    if shared:
        # As one tensor, so that all counts are exchanged at once.
        distributed.all_reduce(totals)
    return dict(zip(names, totals.clamp(min=1) / (world_size() if shared else 1), strict=True))


def beyond(student: Encoder | GatedEncoder, last: int) -> Iterator[nn.Parameter]:
    """The parameters on which hidden state number `last` and those before it do not depend.

    They are those of all later blocks, and of the final LayerNorm where there is one.
    """
    encoder = student.encoder if isinstance(student, GatedEncoder) else student
    for block in encoder.blocks[last:]:
        yield from block.parameters()
    if encoder.config.norm == "pre":
        yield from encoder.norm.parameters()
    if last == 0 and encoder.config.relative_positions:
        yield from encoder.relative_positions.parameters()
