"""Made-up trials for the tests of the front and of the mirror."""

from __future__ import annotations

from typing import Any

import numpy as np

from raysearch.front.document import SearchDocument, document
from raysearch.front.trials import Cost, State, TeacherPoint, TrialRecord


def trial(
    number: int, macs_g: float, wer: float, half: float = 0.0, state: State = "complete", **kept: Any
) -> TrialRecord:
    """A trial with WER `wer` +- `half`."""
    metrics = {"eval/wer": wer, "eval/wer_low": wer - half, "eval/wer_high": wer + half}
    fields = {"config": {"method": "dicehubert"}, "metrics": metrics, "cost": Cost(macs_g=macs_g, params_m=macs_g / 20)}
    return TrialRecord(number=number, state=state, **{**fields, **kept})


def search(trials: int = 24, seed: int = 0, name: str = "dicehubert-an4") -> SearchDocument:
    """A search whose errors fall with log MACs."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        method = str(rng.choice(["dicehubert", "distilhubert", "fasthubert", "hjpruning"]))
        depth, width = int(rng.integers(2, 13)), int(rng.choice([128, 192, 256, 384]))
        macs_g = 20 + depth * width**2 / 4000 + 15 * (method == "distilhubert")
        wer = 14 + 60 * (20 / macs_g) ** 0.6 + rng.gamma(1, 9)
        state: State = "stopped" if number % 5 == 3 else "infeasible" if number % 11 == 7 else "complete"
        records.append(
            trial(
                number,
                macs_g,
                wer,
                half=1 + 0.04 * wer,
                state=state,
                config={"method": method, "student.depth": depth, "student.width": width, "training.lr": 5e-4},
                started_s=1.7e9 + 60 * number,
                ended_s=1.7e9 + 60 * number + 50,
            )
        )
    errors = {"eval/wer": 11.2, "eval/wer_low": 9.4, "eval/wer_high": 13.1}
    teacher = TeacherPoint(cost=Cost(macs_g=1665.4, params_m=94.37), metrics=errors)
    return document(name, ["macs", "wer"], records, [400.0, 100.0], teacher)


def search_of_three(trials: int = 24, seed: int = 0, name: str = "words-and-speakers") -> SearchDocument:
    """The same search with a second error, which is the lower the higher the first one is, give or take."""
    rng = np.random.default_rng(seed)
    made = search(trials, seed, name)
    records = []
    for one in made.trials:
        eer = 4 + 300 / one.metrics["eval/wer"] + rng.gamma(1, 3)
        ends = {"eval/eer": eer, "eval/eer_low": eer - 2, "eval/eer_high": eer + 2}
        records.append(one.model_copy(update={"metrics": one.metrics | ends}))
    assert made.teacher is not None
    errors = made.teacher.metrics | {"eval/eer": 12.0, "eval/eer_low": 9.0, "eval/eer_high": 15.0}
    teacher = made.teacher.model_copy(update={"metrics": errors})
    return document(name, ["macs", "wer", "eer"], records, [400.0, 100.0, 100.0], teacher)
