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
from raysearch.spec.loading import parse_spec

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


def test_single_blocks_have_their_own_heads_and_units_by_their_number_in_the_supernet() -> None:
    found = space(shapes="per-block").of(asked(depth=3, heads={1: 3, 2: 1, 5: 4}, ffn_ratio={3: 1.5}))
    assert found == SubNetwork((0, 2, 4), 256, (3, 4, 4), (1024, 384, 1024), (256, 256))


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


def test_drawn_sub_networks_differ_per_block_where_that_is_asked_for() -> None:
    drawn = [space(shapes="per-block").drawn(np.random.default_rng(seed)) for seed in range(300)]
    for one in drawn:
        sub_config(TEACHER, one)
        assert all(1 <= heads <= 4 for heads in one.heads)
        assert all(one.width <= ffn <= 4 * one.width for ffn in one.ffn)
    deep = [one for one in drawn if len(one.blocks) == 6]
    assert all(len(set(one.ffn)) > 1 for one in deep)
    assert {one.heads[3] for one in deep} == {1, 2, 3, 4}
    uniform = [space().drawn(np.random.default_rng(seed)) for seed in range(50)]
    assert all(len(set(one.heads)) == len(set(one.ffn)) == 1 for one in uniform)


def test_document_searches_single_blocks() -> None:
    document = {
        "name": "x",
        "corpus": {"kind": "synthetic"},
        "task": {"kind": "phonemes"},
        "method": "supernet",
        "teacher": {"source": "train", "depth": 6, "width": 256, "heads": 4, "channels": 256},
        "supernet": {"smallest": SMALLEST, "shapes": "per-block"},
        "student": {"ffn_ratio": {2: 1.5}},
        "distillation": {"layers": [6]},
        "space": {"student.ffn_ratio.1": {"choice": [1.0, 2.0]}, "student.heads.6": {"int": [1, 3]}},
    }
    spec = parse_spec(document, where="x")
    configs = [spec.search_space.draw(np.random.default_rng(seed)) for seed in range(20)]
    for config in configs:
        blocks = spec.student_config(config, TEACHER).block_list
        first = round(256 * config["student.ffn_ratio.1"])
        assert [block.ffn for block in blocks] == [first, 384, 1024, 1024, 1024, 1024]
        assert [block.heads for block in blocks] == [4, 4, 4, 4, 4, config["student.heads.6"]]
    assert {(one["student.ffn_ratio.1"], one["student.heads.6"]) for one in configs} == {
        (ratio, heads) for ratio in (1.0, 2.0) for heads in (1, 2, 3)
    }
    assert spec.student == {"ffn_ratio": {2: 1.5}}, "the document stays as it is"


def test_supernets_of_earlier_versions_keep_their_place_in_the_store() -> None:
    assert "shapes" not in SharedSettings().identity
    assert "head_lr" not in SharedSettings().identity
    assert "head_lr" in SharedSettings(head_lr=1e-3).identity
    assert "per-block" in SharedSettings(shapes="per-block").identity


@pytest.mark.parametrize(
    ("student", "line"),
    [
        ({"depth": 7}, "student.depth: 7; expected 2 to 6, as the supernet has them"),
        ({"depth": 1}, "student.depth: 1; expected 2 to 6, as the supernet has them"),
        ({"width": 320}, "student.width: 320; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"width": 72}, "student.width: 72; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"width": 48}, "student.width: 48; expected a multiple of 16 from 64 to 256, as the supernet has them"),
        ({"heads": 5}, "student.heads: 5; expected 1 to 4, as the supernet has them"),
        ({"heads": {2: 5}}, "student.heads.2: 5; expected 1 to 4, as the supernet has them"),
        ({"heads": {7: 1}}, "student.heads.7: no such block; expected 1 to 6"),
        ({"ffn_ratio": {1: 0.5}}, "student.ffn_ratio.1: 0.5; expected 1 to 4, as the supernet has them"),
        ({"channels": 16}, "student.channels: 16; expected 32 to 256, as the supernet has them"),
        ({"ffn_ratio": 4.5}, "student.ffn_ratio: 4.5; expected 1 to 4, as the supernet has them"),
        ({"ffn_ratio": 0.5}, "student.ffn_ratio: 0.5; expected 1 to 4, as the supernet has them"),
    ],
    ids=str,
)
def test_slice_that_the_supernet_cannot_give_is_refused(student: dict[str, Any], line: str) -> None:
    shared = {"smallest": SMALLEST, "shapes": "per-block"}
    document = {"student": student, "supernet": shared, "distillation": {"layers": [6]}}
    with pytest.raises(InputError) as refused:
        Supernet.student(SupernetSettings.model_validate(document), TEACHER)
    assert str(refused.value) == line


def test_slice_whose_blocks_differ_is_refused_where_no_such_sub_network_was_trained() -> None:
    with pytest.raises(InputError) as refused:
        space().of(asked(heads={1: 2}))
    assert str(refused.value) == (
        "student.heads: of single blocks; expected one number for all, or supernet.shapes: per-block"
    )


def test_wrong_number_of_a_block_is_named_as_it_is_written() -> None:
    with pytest.raises(InputError, match=r"^student\.heads\.a: 'a'; expected a valid integer"):
        SupernetSettings.checked({"student": {"heads": {"a": 1}}})


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
