"""Learning gates under budgets: a Lagrangian whose target falls along a ramp, and the loss it is added to.

Shapes: G budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raysearch.encoder.cost import Sizes
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet, OpenUnits
from raysearch.methods.pruning.budget import Budget, check_met, combined, polish, solve
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.training.trainer import Group

WINDUP = 0.05
"""Gap beyond which l1 grows no faster."""
GATE_CLIP = 1.0
"""Norm above which the gates' gradients are scaled down."""
_FURTHEST = 40.0
"""Shift of log alpha that opens or closes any gate."""


class Lagrangian(nn.Module):
    """`l1 g + l2 g^2` for each budget, g the gap between the expected sparsity and the target of the update.

    Minimised over gates, by their optimiser, and maximised over l1 and l2: an equality constraint. The ascent is plain,
    a step of rate x gradient after each training pass, and is part of this module's state. AdamW, as published, moves
    multipliers at one speed however small the gap is; in some hundred updates they swing without end.
    Source: Wang et al., EMNLP 2020, section 3.3; the ramp as in Xia et al., ACL 2022.
    """

    multipliers: Tensor

    def __init__(self, budgets: Sequence[Budget], ramp: int, rate: float, stiffness: float) -> None:
        """`ramp`: updates until the target is reached; `stiffness`: where l2 starts, l1 starts at zero."""
        super().__init__()
        self.budgets, self.ramp, self.rate = budgets, ramp, rate
        self.register_buffer("multipliers", torch.tensor([[0.0, stiffness]] * len(budgets)))

    def forward(self, expected: Sizes, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The penalty at update `step`, counted from 0, and per budget the sparsity, its gap and the multipliers."""
        done = min(1.0, (step + 1) / self.ramp) if self.ramp else 1.0
        sparsity_G = torch.stack([1 - budget.measure(expected) / budget.full for budget in self.budgets])
        shares = ((budget.before / budget.full, budget.ratio) for budget in self.budgets)
        targets_G = sparsity_G.new_tensor([1 - before - done * (ratio - before) for before, ratio in shares])
        gap_G = sparsity_G - targets_G
        # A copy: the ascent must not change what the penalty's gradient is made of.
        l1_G, l2_G = self.multipliers.clone().unbind(1)
        penalty = (l1_G * gap_G + l2_G * gap_G.square()).sum()
        if self.training:
            seen_G = gap_G.detach()
            # Far from the target, in the ramp above all, l1 would wind up and overshoot.
            ascent_G2 = torch.stack([seen_G.clamp(-WINDUP, WINDUP), seen_G.square()], dim=1)
            self.multipliers += self.rate * ascent_G2
        values = {"sparsity": sparsity_G.detach(), "sparsity_gap": gap_G.detach(), "lambda1": l1_G, "lambda2": l2_G}
        return penalty, {
            self._prefix(budget) + name: value
            for name, value_G in values.items()
            for budget, value in zip(self.budgets, value_G, strict=True)
        }

    def _prefix(self, budget: Budget) -> str:
        return budget.name.removesuffix("ratio") if len(self.budgets) > 1 else ""


class Pruning(nn.Module):
    """The loss of a gated student, and the Lagrangian of its gates. The reported loss is the student's alone."""

    def __init__(self, loss_module: nn.Module, lagrangian: Lagrangian) -> None:
        """`loss_module(**inputs)` gives a loss and metrics; its attribute `student` is a `GatedEncoder`."""
        super().__init__()
        # The attribute is named in the checkpoints of trials that are under way.
        self.objective = loss_module
        self.lagrangian = lagrangian

    @property
    def gated(self) -> GatedEncoder:
        gated = self.objective.student
        assert isinstance(gated, GatedEncoder)
        return gated

    @property
    def student(self) -> Encoder:
        """The dense encoder behind the gates."""
        return self.gated.encoder

    def forward(self, step: int, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.objective(**inputs)
        penalty, more = self.lagrangian(self.gated.gates.expected(), step)
        return loss + penalty, {**metrics, **more, "loss": loss.detach()}


def gate_group(settings: PruningSettings, updates: int) -> Group:
    """The gates' own rate: constant for half the pruning, then falling to zero, so that the gates settle."""

    def schedule(step: int) -> float:
        return min(1.0, 2 * (updates - step) / updates)

    return Group("objective.student.gates.", settings.gate_lr, schedule, clip=GATE_CLIP)


def settle(gates: GateSet, budgets: Sequence[Budget]) -> OpenUnits:
    """The units that stay: those that the gates expect to keep, moved together until the budgets are met.

    The constraint need not have converged, and rounding costs as well: all log alphas are shifted alike until the
    counts cost nearly the target, then steps in single layers make up the rest. Within a layer the likeliest stay.

    Raises: InputError, as `check_met`.
    """
    settled = gates.open_units(multiple=budgets[0].multiple)
    for budget in budgets:
        shrink = partial(_sizes_beside, settled.sizes, budget, gates)
        shift = solve(budget, shrink, -_FURTHEST, _FURTHEST)
        sizes = polish(budget, shrink(shift), gates.full)
        check_met(budget, sizes)
        layers = gates.open_units(shift, budget.multiple) if "ffn" in budget.units else settled
        settled = layers._replace(sizes=sizes)
    return settled


def _sizes_beside(others: Sizes, budget: Budget, gates: GateSet, shift: float) -> Sizes:
    return combined(budget.units, gates.open_units(shift, budget.multiple).sizes, others)
