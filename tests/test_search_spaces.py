"""Every search document that we ship: it loads, it can be sampled, and what it samples can be built."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, LogMel
from raysearch.spec import load_spec

SPACES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.yaml"))
TEACHER = EncoderConfig(front_end=LogMel(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_space_builds(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name == path.stem
    rng = np.random.default_rng(0)
    for _ in range(50):
        config = spec.student_config(spec.search_space.draw(rng), TEACHER)
        with torch.device("meta"):
            encoder = build_encoder(config)
        assert sum(p.numel() for p in encoder.parameters()) > 0
