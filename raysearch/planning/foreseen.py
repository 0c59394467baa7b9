"""Foresees how long each trial of a search that begins now will take, by the pace of a worker of its lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.lanes.lane import LaneSetup, run_alone
from raysearch.planning.pace import HERE, Pace, pace_of_students
from raysearch.planning.plan import DRAWN, Hours, Planner, ends_and_middle
from raysearch.search.checks.possible import draw_feasible
from raysearch.search.costs import Costs
from raysearch.spec.document import Spec, WorkerSettings
from raysearch.spec.space import Config


def foresee(spec: Spec, teacher: AnyConfig, corpus: Corpus, setup: LaneSetup) -> Callable[[Config], float]:
    """A function that gives the seconds of a configuration's whole trial, as the plan has them.

    It measures for some seconds, where a worker of the lanes would run, how fast students are trained.
    """
    drawn = draw_feasible(spec, Costs(spec, teacher), DRAWN, np.random.default_rng(spec.search.seed))
    students = ends_and_middle([spec.student_config(config, teacher) for config in drawn])
    pace = run_alone(_pace, {"students": students, "workers": spec.workers.model_dump(), "cpus": setup.cpus}, setup)
    hours = Hours(corpus.hours("train"), corpus.hours("dev"), corpus.hours("test"), "read")
    planner = Planner(spec, teacher, hours, pace, pace)
    known: dict[str, float] = {}

    def seconds(config: Config) -> float:
        # The same few are asked about again and again, and each takes milliseconds.
        key = repr(sorted(config.items()))
        if key not in known:
            known[key] = planner.trial_s(config).likely
        return known[key]

    return seconds


def _pace(asked: dict[str, Any]) -> Pace:
    """The pace of this process, which has the CPUs and the GPU of a worker."""
    torch.set_num_threads(max(1, asked["cpus"]))
    return pace_of_students(HERE, asked["students"], WorkerSettings(**asked["workers"]))
