"""Sub-networks whose blocks differ, as a supernet draws them: fifty of each norm, slice and masks.

They are compared in double precision, since LayerNorms magnify how single precision rounds. Whisper's front end
computes in single precision alone.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raysearch.encoder.config import Block, RelativePositions
from raysearch.encoder.cost import macs, params
from raysearch.encoder.supernet.shared_weights import Supernet, slice_out
from raysearch.encoder.supernet.sub_network import sub_config
from raysearch.methods.supernet.settings import SharedSettings
from raysearch.methods.supernet.slices import SliceSpace
from tests.encoder.small_encoders import FRONT_ENDS, WAVLM, small
from tests.encoder.supernet.narrowing import AUDIO_BS, INPUTS, assert_same, lively, masked

BLOCKS = [Block(heads=4, head_width=4, ffn=32) for _ in range(2)]
KINDS = [(front_end, None) for front_end in FRONT_ENDS] + [("layer", WAVLM)]
SHAPES = SharedSettings.model_validate({"shapes": "per-block", "smallest": {"width": 8, "channels": 4}})


@pytest.mark.parametrize(("front_end", "relative_positions"), KINDS, ids=[*FRONT_ENDS, "wavlm"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_ten_drawn_sub_networks_of_each_kind_equal_the_masked_whole(
    front_end: str, relative_positions: RelativePositions | None, norm: str
) -> None:
    config = small(front_end, norm, BLOCKS, relative_positions)
    torch.manual_seed(0)
    dtype = torch.float32 if front_end == "whisper" else torch.float64
    encoder, space = lively(config).to(dtype), SliceSpace(SHAPES, config)
    inputs = AUDIO_BS.to(dtype), INPUTS[1]
    supernet, rng = Supernet(encoder), np.random.default_rng(len(front_end))
    drawn = [space.drawn(rng) for _ in range(10)]
    assert any(len(set(sub.heads)) > 1 and len(set(sub.ffn)) > 1 for sub in drawn)
    for sub in drawn:
        expected, sliced = masked(encoder, sub, inputs), slice_out(encoder, sub).eval()
        with torch.no_grad():
            assert_same(sliced(*inputs), expected)
            assert_same(supernet(*inputs, sub), expected)
        document = sub_config(config, sub)
        assert sum(p.numel() for p in sliced.parameters()) == params(document)
        assert macs(sliced.config, 16_000) == macs(document, 16_000)
