"""Makes ready what a search needs to know of sizes and latencies before its first trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np

from raysearch.cluster.resources import cpus, has, head_cpus
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError, counted
from raysearch.lanes.bench import RayBench
from raysearch.lanes.waiting import wait_for
from raysearch.search.charging.charges import Charges
from raysearch.search.costs import Costs
from raysearch.search.study import TRUST, Study
from raysearch.search.watching.watcher import Watcher
from raysearch.search.watching.works import shown
from raysearch.spec.document import Spec
from raysearch.spec.space import Config
from raysearch.targets.store import Store
from raysearch.tasks.table import load_task

DRAWS = 64
"""Configurations that are drawn to find the first shapes that are measured."""


def charges_of(
    spec: Spec,
    teacher: AnyConfig,
    corpus: Corpus,
    store: Store,
    own: bool,
    say: Callable[[str], None],
    watcher: Watcher,
) -> Charges | None:
    """Sizes and latencies on the document's device. None if the document asks for neither.

    The cheapest, the dearest and a middling shape of the space are measured before the first trial, unless enough is
    known: a model that has seen the ends of the space knows how fast the device is. `own` says that the Ray is our own.
    Raises: InputError if our own Ray is to have a node of the device's resource.
    """
    if not spec.charges:
        return None
    device, workers = spec.measured_on, spec.workers
    reserved = False
    if device is not None and device.resource is not None:
        if own and not has(device.resource):
            raise InputError(
                f"device.resource: {device.resource}; expected a cluster with a node that was started with it, as by "
                f"ray start --resources '{{\"{device.resource}\": 1}}', and its address"
            )
    elif device is not None:
        spare = cpus() - workers.fewest_lanes * workers.num_workers * workers.cpus
        reserved = min(spare, head_cpus()) >= device.threads
        if not reserved and workers.fewest_lanes > 1:
            say(
                "latency: measured on cores that trials use too, in moments in which it has them to itself; a lane "
                "less, or a node with a resource of its own, gives it quiet ones"
            )
    task = next((task for task in spec.tasks if task.metric in spec.objectives), spec.tasks[0])
    head = load_task(task).new_head(corpus, teacher).config
    bench = RayBench(store, head, device, say, reserved=reserved)
    charges = Charges(bench, device)
    if not charges.trust():
        watcher.enter("shapes")
        say("shapes: measuring what the cheapest, the dearest and a middling student of the space are charged")
        with shown(say) as show:
            wait_for(partial(_measure_ends, spec, teacher, charges), partial(watcher.tick, show))
    if told := trust_text(charges):
        say(told)
    return charges


def trust_text(charges: Charges) -> str:
    """How far the models are off, in one line. Empty while too little is measured to tell."""
    return "; ".join(
        f"{name}: model of {counted(trust.shapes, 'shape')}, median error {trust.median_error:.1%} on those left out"
        for name, trust in charges.trust().items()
    )


def keep_trust(study: Study, charges: Charges | None) -> None:
    """Keeps with the study how far the models are off, for its status."""
    if charges is not None:
        study.note(TRUST, {name: asdict(trust) for name, trust in charges.trust().items()})


def _measure_ends(spec: Spec, teacher: AnyConfig, charges: Charges) -> None:
    costs, rng = Costs(spec, teacher, charges), np.random.default_rng(spec.search.seed)
    cost = next(name for name in ("latency", "size") if name in spec.charges)
    drawn: list[tuple[float, Config]] = []
    for config in (spec.search_space.draw(rng) for _ in range(DRAWS)):
        try:
            drawn.append((costs(config).of(cost), config))
        except InputError:  # it has no student, and the searcher will refuse it
            continue
    drawn.sort(key=lambda one: one[0])
    for _, config in drawn[:1] + drawn[len(drawn) // 2 :][:1] + drawn[-1:]:
        costs.measured(config)
