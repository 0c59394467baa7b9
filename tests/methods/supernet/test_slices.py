"""The sub-networks of a supernet: what a trial may ask for, what is drawn, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raysearch.encoder.config import Block, Blocks, ConvConfig, EncoderConfig, LogMel, Waveform
from raysearch.encoder.supernet.sub_network import SubNetwork, sub_config, whole
from raysearch.errors import InputError
from raysearch.methods.supernet.settings import SharedSettings, SliceSettings, SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace
from raysearch.methods.supernet.supernet import Supernet

TEACHER = EncoderConfig(
    front_end=LogMel(channels=[256, 256]), width=256, blocks=Blocks(count=6, heads=4, head_width=64, ffn=1024)
)
SMALLEST = {"depth": 2, "width": 64, "channels": 32}


def space(**shared: Any) -> SliceSpace:
    return SliceSpace(SharedSettings.model_validate({"smallest": SMALLEST, **shared}), TEACHER)


def asked(**student: Any) -> SliceSettings:
    return SliceSettings.model_validate(student)


def test_slice_that_asks_for_nothing_is_the_whole() -> None:
    assert space().of(asked()) == whole(TEACHER)


def test_sizes_that_are_left_out_follow_the_width() -> None:
    assert space().of(asked(width=128, depth=3)) == SubNetwork((0, 2, 4), 128, (2,) * 3, (512,) * 3, (256, 256))


def test_blocks_are_the_first_or_spread() -> None:
    spread, first = ([one.of(asked(depth=d)).blocks for d in range(2, 7)] for one in (space(), space(blocks="first")))
    assert spread == [(0, 3), (0, 2, 4), (0, 1, 3, 4), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5)]
    assert first == [tuple(range(depth)) for depth in range(2, 7)]


def test_layer_of_a_pruned_teacher_that_has_less_gives_what_it_has() -> None:
    blocks = [Block(heads=4, head_width=64, ffn=1024), Block(heads=0, head_width=64, ffn=100)]
    pruned = EncoderConfig(front_end=Waveform(channels=[16, 512, 512, 512, 512, 512, 300]), width=256, blocks=blocks)
    found = SliceSpace(SharedSettings(), pruned).of(asked(heads=2, channels=128))
    assert (found.heads, found.ffn, found.channels) == ((2, 0), (1024, 100), (16, *[128] * 6))


def test_drawn_sub_networks_lie_between_the_smallest_and_the_whole() -> None:
    rng, found = np.random.default_rng(0), space()
    drawn = [found.drawn(rng) for _ in range(300)]
    for one in drawn:
        sub_config(TEACHER, one)
        for size in ("heads", "ffn", "channels"):
            least, most = getattr(found.smallest, size)[0], getattr(found.largest, size)[0]
            assert all(least <= has <= most for has in getattr(one, size))
    assert {len(one.blocks) for one in drawn} == {2, 3, 4, 5, 6}
    assert {one.width for one in drawn} == set(range(64, 257, 16))
    assert found.smallest == SubNetwork((0, 3), 64, (1, 1), (64, 64), (32, 32))


@pytest.mark.parametrize(
    ("student", "line"),
    [
        ({"depth": 7}, "student.depth: 7; expected 2 to 6, as the supernet has them"),
        ({"depth": 1}, "student.depth: 1; expected 2 to 6, as the supernet has them"),
        ({"width": 320}, "student.width: 320; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"width": 72}, "student.width: 72; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"width": 48}, "student.width: 48; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"heads": 5}, "student.heads: 5; expected 1 to 4, as the supernet has them"),
        ({"channels": 16}, "student.channels: 16; expected 32 to 256, as the supernet has them"),
        ({"ffn_ratio": 4.5}, "student.ffn_ratio: 4.5; expected 1 to 4, as the supernet has them"),
        ({"ffn_ratio": 0.5}, "student.ffn_ratio: 0.5; expected 1 to 4, as the supernet has them"),
    ],
    ids=str,
)
def test_slice_that_the_supernet_cannot_give_is_refused(student: dict[str, Any], line: str) -> None:
    document = {"student": student, "supernet": {"smallest": SMALLEST}, "distillation": {"layers": [6]}}
    with pytest.raises(InputError) as refused:
        Supernet.student(SupernetSettings.model_validate(document), TEACHER)
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("smallest", "line"),
    [
        ({"depth": 9}, "supernet.smallest.depth: 9; expected 1 to 6, as the supernet has them"),
        ({"channels": 300}, "supernet.smallest.channels: 300; expected 1 to 256, as the supernet has them"),
        ({"width": 100}, "supernet.smallest.width: 100; expected a multiple of 16 from 16 to 256, as the supernet has"),
    ],
    ids=str,
)
def test_smallest_that_is_none_is_refused(smallest: dict[str, Any], line: str) -> None:
    document = {"supernet": {"smallest": smallest}, "distillation": {"layers": [6]}}
    with pytest.raises(InputError) as refused:
        Supernet.student(SupernetSettings.model_validate(document), TEACHER)
    assert str(refused.value).startswith(line)


def test_teacher_without_a_transformer_is_refused() -> None:
    with pytest.raises(InputError, match=r"^teacher.source: an encoder without a transformer"):
        Supernet.student(SupernetSettings(), ConvConfig())


def test_blank_supernet_has_its_own_shape() -> None:
    largest = {"depth": 3, "width": 96, "heads": 3, "channels": 48}
    document = {"supernet": {"start": "blank", "largest": largest}, "distillation": {"layers": [6]}}
    config = Supernet.student(SupernetSettings.model_validate(document), TEACHER)
    assert (config.depth, config.width, config.front_end.channels) == (3, 96, [48, 48])
