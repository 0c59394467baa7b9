"""How gates learn under budgets: a Lagrangian, whose target falls along a ramp, is added to a loss.

The Lagrangian punishes the distance between the cost that the gates expect and the cost that is asked for.

Shapes: G budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raysearch.encoder.cost import Sizes
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet, OpenUnits
from raysearch.methods.pruning.budget import Budget, check_met, combined, polish, solve
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.training.loss_module import Counts, LossModule
from raysearch.training.trainer import Group

WINDUP = 0.05
"""The gap of sparsity beyond which the multiplier l1 grows no faster."""
GATE_CLIP = 1.0
"""The norm above which the gates' gradients are scaled down."""
_FURTHEST = 40.0
"""A shift of log alpha that opens or closes any gate."""


class Lagrangian(nn.Module):
    """The penalty `l1 g + l2 g^2` of each budget, where g is the gap between expected sparsity and its present target.

    It is minimised over the gates by their optimiser, and maximised over the multipliers l1 and l2, which makes it an
    equality constraint. The ascent of the multipliers is plain, a step of rate x gradient in each update, and they are
    part of this module's state. The published AdamW moves multipliers at one speed however small the gap is,
    and in some hundred updates they swing without end.
    Source: Wang et al., EMNLP 2020, section 3.3; the ramp as in Xia et al., ACL 2022.
    """

    multipliers: Tensor

    def __init__(self, budgets: Sequence[Budget], ramp: int, rate: float, stiffness: float) -> None:
        """Builds the penalty. `ramp` is the number of updates until the target stands at its ratio.

        `rate` is that of the multipliers. l2 starts at `stiffness`, and l1 at zero.
        """
        super().__init__()
        self.budgets, self.ramp, self.rate = budgets, ramp, rate
        self.register_buffer("multipliers", torch.tensor([[0.0, stiffness]] * len(budgets)))
        self._step = -1
        """The update in which the multipliers climbed last."""
        self._before = self.multipliers
        """The multipliers before that, which hold for all batches of that update."""

    def forward(self, expected: Sizes, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The penalty at update `step`, counted from 0. The metrics are each budget's sparsity, gap and multipliers."""
        done = min(1.0, (step + 1) / self.ramp) if self.ramp else 1.0
        sparsity_G = torch.stack([1 - budget.measure(expected) / budget.full for budget in self.budgets])
        shares = ((budget.before / budget.full, budget.ratio) for budget in self.budgets)
        targets_G = sparsity_G.new_tensor([1 - before - done * (ratio - before) for before, ratio in shares])
        gap_G = sparsity_G - targets_G
        l1_G, l2_G = self._multipliers_at(step, gap_G.detach()).unbind(1)
        penalty = (l1_G * gap_G + l2_G * gap_G.square()).sum()
        values = {"sparsity": sparsity_G.detach(), "sparsity_gap": gap_G.detach(), "lambda1": l1_G, "lambda2": l2_G}
        return penalty, {
            self._prefix(budget) + name: value
            for name, value_G in values.items()
            for budget, value in zip(self.budgets, value_G, strict=True)
        }

    def _multipliers_at(self, step: int, gap_G: Tensor) -> Tensor:
        """The multipliers of an update (G, 2). In its first batch they also climb, for the update after it."""
        if not self.training:
            return self.multipliers
        # All batches of an update see the same gap, so that one ascent is all that they ask for together.
        if step != self._step:
            # A copy, because the ascent must not change the numbers that the penalty's gradient is made of.
            self._step, self._before = step, self.multipliers.clone()
            # Far from the target, above all in the ramp, l1 would wind up and overshoot.
            self.multipliers += self.rate * torch.stack([gap_G.clamp(-WINDUP, WINDUP), gap_G.square()], dim=1)
        return self._before

    def _prefix(self, budget: Budget) -> str:
        return budget.name.removesuffix("ratio") if len(self.budgets) > 1 else ""


class Pruning(LossModule):
    """The loss of a gated student plus the Lagrangian of its gates. The reported loss leaves the Lagrangian out.

    Every process draws gates of its own for each of its batches. The more draws an update has, the less its gradient
    depends on any of them.
    """

    def __init__(self, loss_module: LossModule, lagrangian: Lagrangian) -> None:
        """Joins the two. The `student` of `loss_module` is a `GatedEncoder`."""
        super().__init__()
        # The attribute's name is in the checkpoints of trials that are under way, so it stays.
        self.objective = loss_module
        self.lagrangian = lagrangian

    @property
    def gated(self) -> GatedEncoder:
        """The student with its gates."""
        gated = self.objective.student
        assert isinstance(gated, GatedEncoder)
        return gated

    @property
    def student(self) -> Encoder:
        """The dense encoder behind the gates."""
        return self.gated.encoder

    def counts(self, step: int, **inputs: Any) -> Counts:
        """What the loss counts, and the batch itself: every batch bears its part of the update's one penalty."""
        return {**self.objective.counts(**inputs), "batches": 1}

    def unread(self) -> Iterable[nn.Parameter]:
        """What the loss does not read. The penalty reads every gate."""
        return self.objective.unread()

    def share(self, counts: Mapping[str, Tensor], step: int, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss with the penalty, and the metrics of both."""
        loss, metrics = self.objective.share(counts, **inputs)
        penalty, more = self.lagrangian(self.gated.gates.expected(), step)
        parts = {name: value / counts["batches"] for name, value in more.items()}
        return loss + penalty / counts["batches"], {**metrics, **parts, "loss": loss.detach()}


def gate_group(settings: PruningSettings, updates: int) -> Group:
    """The gates' own learning rate: constant for half of the pruning updates, then falling to zero.

    The gates settle while it falls.
    """

    def schedule(step: int) -> float:
        return min(1.0, 2 * (updates - step) / updates)

    return Group("objective.student.gates.", settings.gate_lr, schedule, clip=GATE_CLIP)


def settle(gates: GateSet, budgets: Sequence[Budget]) -> OpenUnits:
    """The units that stay: as many of each layer as its gates expect to keep, moved until the budgets are met.

    The numbers must be moved, because the constraint may not have converged and because they are rounded. First all log
    alphas are shifted alike until the cost is near the target. Steps in single layers then make up the rest. Within a
    layer the likeliest units stay.

    Raises: InputError where `check_met` does.
    """
    settled = gates.open_units(multiple=budgets[0].multiple)
    for budget in budgets:
        shrink = partial(_sizes_beside, settled.sizes, budget, gates)
        shift = solve(budget, shrink, -_FURTHEST, _FURTHEST)
        sizes = polish(budget, shrink(shift), gates.full)
        check_met(budget, sizes)
        # Whole sub-layers are part of the transformer, as FFN units are, so they go by the same budget.
        layers = gates.open_units(shift, budget.multiple) if "ffn" in budget.units else settled
        settled = layers._replace(sizes=sizes)
    return settled


def _sizes_beside(others: Sizes, budget: Budget, gates: GateSet, shift: float) -> Sizes:
    return combined(budget.units, gates.open_units(shift, budget.multiple).sizes, others)
