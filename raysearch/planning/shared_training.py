"""What the training costs that all trials of a method share: known from the document, as that of an update is.

This file does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import TRAINING_PASSES
from raysearch.encoder.supernet.sub_network import sub_config
from raysearch.methods.supernet.settings import SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace, supernet_config
from raysearch.planning.update_cost import macs_per_s
from raysearch.spec.document import Spec
from raysearch.spec.space import Space

DRAWS = 64
"""Sub-networks that are drawn to find what a mean one costs."""


@dataclass(frozen=True)
class SharedTraining:
    """The work of one training that is done once for all trials."""

    macs: float
    """Multiply-accumulates in all: of sub-networks forward and back, and of the teacher forward."""
    updates: int
    """Updates, in each of which several sub-networks are trained."""


def shared_trainings(spec: Spec, teacher: AnyConfig) -> list[SharedTraining]:
    """The trainings that are done before the first trial.

    The teacher is counted in every update: where its hidden states are kept, that is too much.
    Raises: InputError if a method has no student with this teacher.
    """
    rng = np.random.default_rng(spec.search.seed)
    found = []
    for method in spec.sharing:
        settings = spec.settings(Space([method], spec.space).draw(rng))
        if isinstance(settings, SupernetSettings):
            found.append(_of_supernet(settings, teacher, rng))
    return found


def probed_tasks(settings: Any, tasks: Sequence[Any]) -> list[Any]:
    """The tasks for which a head is trained to judge a student of these settings. A slice comes with one for a task."""
    read = settings.supernet.read_task([task.kind for task in tasks]) if isinstance(settings, SupernetSettings) else ""
    return [task for task in tasks if task.kind != read]


def _of_supernet(settings: SupernetSettings, teacher: AnyConfig, rng: np.random.Generator) -> SharedTraining:
    shared = settings.supernet
    config = supernet_config(shared, teacher)
    space = SliceSpace(shared, config)
    largest, smallest = (macs_per_s(sub_config(config, sub)) for sub in (space.largest, space.smallest))
    mean = float(np.mean([macs_per_s(sub_config(config, space.drawn(rng))) for _ in range(DRAWS)]))
    trained = TRAINING_PASSES * (largest + smallest + shared.drawn * mean)
    heard_s = shared.updates * shared.accumulate * shared.batch_s
    return SharedTraining(heard_s * (trained + macs_per_s(teacher)), shared.updates * (2 + shared.drawn))
