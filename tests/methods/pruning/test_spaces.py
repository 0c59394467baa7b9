"""The search documents of pruning load, and promise the cost that their start points ask for."""

from pathlib import Path

import numpy as np
import pytest

from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.cost import macs_superb, params
from raysearch.spec.loading import load_spec

SPACES = Path(__file__).parents[3] / "search_spaces"
BASE = EncoderConfig(front_end=Waveform(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))


@pytest.mark.parametrize("name", ["hjpruning-an4", "hjpruning-librispeech", "dphubert-librispeech"])
def test_search_document_then_every_drawn_student_is_known_and_cheaper(name):
    spec = load_spec(SPACES / f"{name}.yaml")
    teacher = spec.teacher.encoder() if spec.teacher.source == "train" else BASE
    for seed in range(4):
        student = spec.student_config(spec.search_space.draw(np.random.default_rng(seed)), teacher)
        assert macs_superb(student) < macs_superb(teacher)


def test_published_dphubert_then_its_published_size():
    spec = load_spec(SPACES / "dphubert-librispeech.yaml")
    student = spec.student_config({"method": "dphubert", **spec.search.start[0]}, BASE)
    assert params(student) == pytest.approx(23_585_946, rel=0.001)
    assert spec.search.updates * spec.pruning["share"] == pytest.approx(50_000, abs=1)
