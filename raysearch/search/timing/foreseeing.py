"""What a driver knows of time before its first trial: its budget, and the plan of how long trials will take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.lanes.lane import LaneSetup
from raysearch.lanes.waiting import wait_for
from raysearch.search.costs import Costs
from raysearch.search.timing.budget import Budget
from raysearch.search.timing.foresight import Foresight, Planned
from raysearch.search.watching.watcher import Watcher
from raysearch.search.watching.works import shown
from raysearch.spec.budget import Held
from raysearch.spec.document import Spec

Foresee = Callable[[Spec, AnyConfig, Corpus, LaneSetup], Planned]
"""Plans how long the trials of a search will take, for those who know how: this room does not."""


def held_by(lanes: int, setup: LaneSetup) -> Held:
    """What so many lanes hold."""
    workers = lanes * setup.num_workers
    return Held(cpus=workers * setup.cpus, gpus=workers * setup.use_gpu)


def budget_of(spec: Spec, setup: LaneSetup, began_s: float, watcher: Watcher) -> Budget | None:
    """The budget of the search, of which this driver spends from `began_s` on.

    Raises: InputError if it is one of GPU-hours, and no lane has a GPU.
    """
    settings = spec.search.budget
    if settings is None:
        return None
    held = held_by(spec.workers.fewest_lanes, setup)
    if not held.rate(settings.unit):
        raise InputError("search.budget: counted in GPU-hours, and lanes have no GPU; expected cpu_hours or hours")
    budget = Budget(settings, held, before=watcher.before, began_s=began_s)
    watcher.spent = budget.spent
    return budget


def foresight_of(
    spec: Spec,
    teacher: AnyConfig,
    foreseen: Callable[[], Planned] | None,
    say: Callable[[str], None],
    watcher: Watcher,
) -> Foresight:
    """How long trials are expected to take: as planned, where a deadline asks for that and there is a planner."""
    timeout = spec.search.timeout
    if foreseen is None or not (spec.search.budget or (timeout and timeout.times)):
        costs = Costs(spec, teacher)
        return Foresight(spec, lambda config: costs(config).macs_g, trusted=False)
    say("plan: measuring how fast a worker trains three of the students and reads audio")
    with shown(say) as show:
        return Foresight(spec, wait_for(foreseen, partial(watcher.tick, show)), trusted=True)
