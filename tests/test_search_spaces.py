"""Every search document that we ship: it loads, it can be sampled, and what it samples can be built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, LogMel
from raysearch.encoder.cost import macs_superb
from raysearch.encoder.teacher import Teacher
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.planning.update_cost import update_cost
from raysearch.spec.document import Spec
from raysearch.spec.loading import load_spec
from raysearch.spec.space import Config
from raysearch.training.recipe import not_evaluated

FOLDER = Path(__file__).parent.parent / "search_spaces"
SPACES = sorted(FOLDER.glob("*.yaml"))
TEACHER = EncoderConfig(front_end=LogMel(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_space_builds(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name == path.stem
    rng = np.random.default_rng(0)
    for _ in range(4):
        config = spec.student_config(spec.search_space.draw(rng), TEACHER)
        with torch.device("meta"):
            encoder = build_encoder(config)
        assert sum(p.numel() for p in encoder.parameters()) > 0


COMPARISONS = sorted(FOLDER.glob("all-methods-*.yaml"))


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_every_method_of_a_comparison_gets_equal_work(path: Path) -> None:
    spec = load_spec(path)
    teacher, rng = spec.teacher.encoder(), np.random.default_rng(0)
    macs: dict[str, list[float]] = {method: [] for method in spec.methods}
    for config in (spec.search_space.draw(rng) for _ in range(150)):
        settings, method = spec.settings(config), str(config["method"])
        # These searches were compared with the teacher in every update, and keep to that.
        assert spec.search.keep_features_gb == 0
        update = update_cost(settings, spec.student_config(config, teacher), teacher, workers=1)
        macs[method].append(update.macs * spec.updates(method))
    means = [np.mean(of_method) for of_method in macs.values()]
    assert max(means) < 1.2 * min(means)


def first_points() -> Iterator[Any]:
    """The first known point of every method, of the searches over all of them."""
    for path in COMPARISONS:
        spec = load_spec(path)
        for method in spec.methods:
            point = next(point for point in spec.search.start if point["method"] == method)
            yield pytest.param(spec, point, id=f"{spec.name}-{method}")


@pytest.mark.parametrize(("spec", "point"), list(first_points()))
def test_every_method_of_a_comparison_trains(spec: Spec, point: Config, tones, tone_labels, tmp_path: Path) -> None:
    config = spec.teacher.encoder()
    trial = Trial(
        number=0,
        settings=spec.settings({**point, "training.batch_s": 4.0}),
        corpus=tones,
        teacher=Teacher(build_encoder(config).eval().requires_grad_(False), key="t"),
        label_set=tone_labels,
        evaluate=not_evaluated,
        rungs=(2,),
        folder=tmp_path,
        device=torch.device("cpu"),
        seed=0,
    )
    *_, last = load_method(str(point["method"]))().run(trial)
    assert last.final
    promised, found = spec.student_config(point, config), load_encoder(tmp_path / "student").config
    assert macs_superb(found) == pytest.approx(macs_superb(promised), rel=0.01)
