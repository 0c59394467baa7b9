"""Made-up tables of trials: exact costs of real students, with errors that follow laws drawn from a seed.

They let a search be simulated without any training. What holds of real searches holds of them:
- The best method and front end differ from table to table.
- Errors fall with a power of the student's size, down to a floor.
- Learning rate, cluster count and masking have an optimum.
- Curves of large and slow students cross those of small ones.
- Some configurations diverge.
- A pruned student can be compared only once it is sliced.

Shapes: K waves, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np

from raysearch.encoder.config import AnyConfig, Blocks, EncoderConfig, Waveform
from raysearch.encoder.cost import params
from raysearch.files.digest import document_digest
from raysearch.search.acquisition import mutant
from raysearch.search.checks.possible import draw_feasible
from raysearch.search.costs import Costs
from raysearch.search.surrogate import Encoding
from raysearch.simulation.recorded import Point, Row
from raysearch.simulation.simulation import front_of
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec
from raysearch.spec.space import Config

TEACHER = EncoderConfig(
    front_end=Waveform(), width=768, norm="post", blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072)
)
SHARES = [1 / 9, 1 / 3, 1.0]
"""Rungs, as shares of the budget."""
PRUNED = ("hjpruning", "dphubert")
"""Methods that prune."""
SLICED = 0.67
"""Share of the budget after which a pruned student is sliced and compared."""
UNTRAINED = 0.05
"""Share of the budget whose error a student has before it is trained, if it can be judged then."""
NOISE = 0.03
"""Standard deviation of ln error between runs. Of its variance, 70 % is the run's, and the rest each report's own."""
START_S = 2.0
"""Seconds before a trial's first update."""
DRAWS = 300
"""Random configurations by which the scales of a table are set."""
DOCUMENT: dict[str, Any] = {
    "name": "synthetic",
    "corpus": {"kind": "synthetic"},
    "teacher": {"source": "train"},
    "task": {"kind": "phonemes"},
    "method": {"choice": ["dicehubert", "distilhubert", "hjpruning"]},
    "student": {"heads": 4},
    "space": {
        "student.front_end": {"choice": ["logmel-25hz", "logmel-50hz", "waveform"]},
        "student.channels": {"choice": [128, 256, 512]},
        "student.depth": {"int": [2, 12]},
        "student.width": {"choice": [192, 256, 384, 512, 768]},
        "student.ffn_ratio": {"choice": [2.0, 3.0, 4.0]},
        "training.lr": {"float": [1e-4, 1e-2], "log": True},
        "targets.clusters": {"int": [50, 2000], "log": True},
        "prediction.mask_prob": {"float": [0.0, 0.9]},
        "pruning.macs_ratio": {"choice": [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]},
    },
    "search": {"updates": 900, "rungs": SHARES, "trials": 60},
}
"""The search document of a table on a made-up space."""


class SyntheticTable:
    """A table by one set of laws, on a made-up space or on the space of a given spec.

    `seconds` gives the time of a whole trial without its start. By default the time is made up too.
    """

    def __init__(
        self,
        seed: int,
        spec: Spec | None = None,
        teacher: AnyConfig = TEACHER,
        seconds: Callable[[Config], float] | None = None,
    ) -> None:
        self.spec = spec or parse_spec(DOCUMENT, where="synthetic")
        self.teacher = teacher
        self.costs = Costs(self.spec, teacher)
        self.seconds = seconds or self._made_up_seconds
        # The laws are made for a teacher as large as HuBERT Base. Sizes beside another teacher are scaled to it.
        self._scale_m = params(TEACHER) / params(teacher)
        self._encode = Encoding(self.spec.search_space)
        rng = np.random.default_rng(seed)
        self._floor, self._scale = rng.uniform(3, 6), rng.uniform(55, 75)
        self._power = rng.uniform(0.28, 0.42)
        self._method = {name: rng.normal(0, 0.12) for name in self.spec.methods}
        self._front_end = {name: rng.normal(0, 0.1) for name in ("logmel-25hz", "logmel-50hz", "waveform")}
        self._both = {(m, f): rng.normal(0, 0.06) for m in self._method for f in self._front_end}
        self._best_lr, self._lr_falls = rng.uniform(-6.9, -5.8), rng.uniform(0.1, 0.3)
        self._best_clusters, self._best_mask = rng.uniform(np.log(100), np.log(1000)), rng.uniform(0.1, 0.7)
        self._best_aspect = rng.uniform(3.6, 4.6)
        self._wave_K = rng.uniform(0, 2 * np.pi, 4)
        self._direction_KF = rng.normal(0, 2.0, (4, self._encode([self.spec.search_space.draw(rng)]).shape[1]))
        self._rate, self._slowness = rng.uniform(0.12, 0.2), rng.uniform(0.05, 0.12)
        drawn = draw_feasible(self.spec, self.costs, DRAWS, rng)
        # The hottest tenth of what random search would try diverges.
        self._hottest = float(np.quantile([self._heat(config) for config in drawn], 0.9))
        truths = [self._truth(config) for config in drawn]
        macs = [self.costs(config).macs_g for config in drawn]
        self.reference_point = (1.05 * max(macs), float(np.quantile(truths, 0.6)))
        self._mean_macs = float(np.mean(macs))

    def row(self, config: Config, seed: int) -> Row:
        """What would come of a configuration. `seed` draws the noise."""
        # Noise follows from seed and configuration alone, whatever the order in which a searcher asks.
        rng = np.random.default_rng([seed, int(document_digest(config, digits=12), base=16)])
        shares = self.spec.search.rungs
        of_seed, *of_reports = rng.normal(0, NOISE, 1 + len(shares)) * np.sqrt([0.7, *[0.3] * len(shares)])
        truth = self._truth(config)
        budget_s = self.seconds(config)
        dies_at = rng.uniform(0.05, 0.9) if self._heat(config) > self._hottest else math.inf
        points = tuple(
            # A trial that is never trained takes all its time to be judged.
            Point(
                share,
                START_S + (share if any(shares) else 1.0) * budget_s,
                self._at(config, truth, share) * math.exp(of_seed + report),
            )
            for share, report in zip(shares, of_reports, strict=True)
            if share < dies_at and (share > SLICED or config["method"] not in PRUNED)
        )
        if dies_at < 1:
            return Row(config, points, diverged_s=START_S + dies_at * budget_s)
        return Row(config, points, truth=truth)

    def drifted(self, seed: int) -> SyntheticTable:
        """The table of a related search: of another corpus or budget, by nearly the same laws."""
        found, rng = copy(self), np.random.default_rng(seed)
        found._floor, found._scale = (
            self._floor * math.exp(rng.normal(0, 0.2)),
            self._scale * math.exp(rng.normal(0, 0.2)),
        )
        found._power = self._power + rng.normal(0, 0.03)
        found._method = {name: bias + rng.normal(0, 0.04) for name, bias in self._method.items()}
        found._front_end = {name: bias + rng.normal(0, 0.04) for name, bias in self._front_end.items()}
        found._best_lr, found._best_clusters = (
            self._best_lr + rng.normal(0, 0.2),
            self._best_clusters + rng.normal(0, 0.3),
        )
        found._best_mask, found._best_aspect = (
            self._best_mask + rng.normal(0, 0.1),
            self._best_aspect + rng.normal(0, 0.2),
        )
        found._wave_K = self._wave_K + rng.normal(0, 1.0, 4)
        return found

    def _made_up_seconds(self, config: Config) -> float:
        """Seconds of a whole trial: a fixed share for teacher and data, and the rest by the student's MACs."""
        return 100 * (0.25 + 0.75 * self.costs(config).macs_g / self._mean_macs)

    def _truth(self, config: Config) -> float:
        """The error that a configuration ends with, without noise, in percent."""
        method = str(config["method"])
        front_end = str(config.get("student.front_end", "waveform"))
        size = self._size(config)
        ln_error = math.log(self._floor + self._scale * size**-self._power)
        ln_error += self._method[method] + self._front_end[front_end] + self._both[method, front_end]
        ln_error += 0.09 * self._heat(config) ** 2
        if "targets.clusters" in config:
            ln_error += 0.05 * (math.log(float(config["targets.clusters"])) - self._best_clusters) ** 2
        if "prediction.mask_prob" in config:
            ln_error += 0.6 * (float(config["prediction.mask_prob"]) - self._best_mask) ** 2
        if "student.width" in config and "student.depth" in config:
            aspect = math.log(float(config["student.width"]) / float(config["student.depth"]))
            ln_error += 0.08 * (aspect - self._best_aspect) ** 2
        # Ripples that no simple law explains, as real spaces have them.
        features_F = self._encode([config])[0]
        waves_K = np.sin(self._direction_KF @ features_F + self._wave_K)
        return float(math.exp(ln_error + 0.025 * waves_K.sum() / math.sqrt(2)))

    def _size(self, config: Config) -> float:
        """Millions of parameters that the student would have beside a teacher as large as HuBERT Base."""
        return self.costs(config).params_m * self._scale_m

    def _heat(self, config: Config) -> float:
        """How far the ln of the learning rate is above its optimum, which falls with size. 0 if no rate is searched."""
        if "training.lr" not in config:
            return 0.0
        best = self._best_lr - self._lr_falls * math.log(self._size(config) / 10)
        return math.log(float(config["training.lr"])) - best

    def _at(self, config: Config, truth: float, share: float) -> float:
        """The error at a share of the budget. With a large student or a low learning rate it takes longer to fall."""
        slowness = self._slowness * (math.log(self._size(config) / 10) - 0.3 * min(0.0, self._heat(config)))
        return min(100.0, truth * max(share, UNTRAINED) ** -max(0.03, self._rate + slowness))


def synthetic_table(seed: int) -> SyntheticTable:
    """The table of a seed on the made-up space, which is always the same."""
    return SyntheticTable(seed)


def oracle_points(table: SyntheticTable, draws: int, rounds: int) -> Sequence[tuple[float, float]]:
    """Cost and error of a front near the best that the space holds, without noise.

    It is found by `draws` random configurations and then `rounds` of mutants of their front.
    """
    rng = np.random.default_rng(0)
    space = table.spec.search_space
    front: dict[tuple[float, float], Config] = {}
    for round_ in range(rounds + 1):
        parents = list(front.values())
        configs = (
            [mutant(space, parents[int(rng.integers(len(parents)))], rng) for _ in range(draws // 10)]
            if round_
            else [space.draw(rng) for _ in range(draws)]
        )
        # A configuration that diverges has no error.
        cool = [config for config in configs if table._heat(config) <= table._hottest]
        front.update({(table.costs(config).macs_g, table._truth(config)): config for config in cool})
        front = {point: front[point] for point in front_of(front)}
    return list(front)
