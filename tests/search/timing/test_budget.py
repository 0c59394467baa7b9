"""What is spent, and the seconds that it leaves."""

from raysearch.search.timing.budget import Budget, in_its_unit
from raysearch.simulation.simulation import Clock
from raysearch.spec.budget import BudgetSettings, Held


def test_what_is_held_is_spent_and_earlier_drivers_count() -> None:
    clock = Clock()
    settings = BudgetSettings(money=30, per_gpu_hour=2.5)
    budget = Budget(settings, Held(cpus=16, gpus=4), before={"gpu_hours": 2.0}, began_s=0.0, clock=clock)
    assert budget.left_s == 2.5 * 3600
    clock.now_s = 3600
    assert budget.spent() == {"hours": 1.0, "cpu_hours": 16.0, "gpu_hours": 6.0}
    assert in_its_unit(settings, budget.spent()) == 15.0
    assert budget.left_s == 1.5 * 3600
    clock.now_s = 9999999
    assert budget.left_s == 0


def test_lanes_that_come_and_go_pay_for_the_time_in_which_they_were_there() -> None:
    clock = Clock()
    budget = Budget(BudgetSettings(gpu_hours=20), Held(cpus=4, gpus=2), before={}, began_s=0.0, clock=clock)
    clock.now_s = 3600
    budget.hold(Held(cpus=16, gpus=8))
    assert budget.left_s == (20 - 2) / 8 * 3600
    clock.now_s = 2 * 3600
    budget.hold(Held(cpus=2, gpus=1))
    clock.now_s = 4 * 3600
    assert budget.spent() == {"hours": 4.0, "cpu_hours": 4 + 16 + 2 * 2, "gpu_hours": 2 + 8 + 2 * 1}
