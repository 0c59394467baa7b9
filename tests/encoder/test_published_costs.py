"""The table of costs beside print in docs/results/cost.md: ours from documents, theirs from the published points."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.encoder.cost import SUPERB_SAMPLES, macs_superb, params
from raysearch.encoder.document import read_config
from raysearch.encoder.frames import frames
from raysearch.front.published import published_points

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/results/cost.md").read_text(encoding="utf-8")
POINTS = {point.name: point for point in published_points("superb")}
LINES = PAGE.partition("## Beside print")[2].splitlines()
ROWS = {cells[0]: cells[1:] for line in LINES if len(cells := [one.strip() for one in line.split("|")[1:-1]]) == 8}
ROWS = {name: cells for name, cells in ROWS.items() if name in POINTS}
NOT_BUILT = {"FitW2V2", "DPHuBERT", "DPWavLM", "FBANK"}
WITH_HEADS = {"MaskHuBERT", "ARMHuBERT", "ARMHuBERT-S", "ARMwavLM-S"}
"""Models whose figures in print are with the linear layers onto their teacher."""
OF_MORE_THAN_THE_ENCODER = {"wav2vec 2.0 Large", "wav2vec 2.0 Base", "LightHuBERT stage 1", "FitHuBERT", *WITH_HEADS}
FRAMES, TEACHER = 11_223, 768
"""Frames at 50 Hz of SUPERB's 32 recordings, and the width of HuBERT Base."""
FRAMES_OF = [frames(read_config(ROOT / "encoders/hubert-base.yaml"), samples) for samples in SUPERB_SAMPLES]


def test_every_published_model_is_costed_or_named() -> None:
    models = {name for name in POINTS if not name.endswith("(100 h)")}
    assert models == ROWS.keys() | NOT_BUILT
    assert [name for name in NOT_BUILT if name not in PAGE.partition("What differs has names")[2]] == []


@pytest.mark.parametrize("name", ROWS)
def test_row_is_what_the_document_costs_beside_print(name: str) -> None:
    document, *figures = ROWS[name]
    config = read_config(ROOT / f"encoders/{document}.yaml")
    macs_g, params_m, point = macs_superb(config) / 1e9, params(config) / 1e6, POINTS[name]
    printed = None if "raysearch" in point.source else point.macs_g
    macs = [f"{printed:g}", difference(macs_g, printed)] if printed else ["-", "-"]
    assert point.params_m
    assert figures == [
        *(f"{macs_g:.2f}", *macs),
        *(f"{params_m:.2f}", f"{point.params_m:.4g}", difference(params_m, point.params_m)),
    ]
    assert printed is None or name in WITH_HEADS or macs_g == pytest.approx(printed, rel=0.005)
    if name not in OF_MORE_THAN_THE_ENCODER:
        assert params_m == pytest.approx(point.params_m, rel=0.005)


@pytest.mark.parametrize("name", [name for name, point in POINTS.items() if "raysearch" in point.source])
def test_macs_that_print_lacks_are_ours(name: str) -> None:
    config = read_config(ROOT / f"encoders/{ROWS[name][0]}.yaml")
    assert POINTS[name].macs_g == round(macs_superb(config) / 1e9, 1)


@pytest.mark.parametrize("name", ["STaRHuBERT-L", "STaRHuBERT"])
def test_inferred_shape_has_both_costs_in_print_to_the_last_digit(name: str) -> None:
    config = read_config(ROOT / f"encoders/{ROWS[name][0]}.yaml")
    assert round(macs_superb(config) / 1e9, 1) == POINTS[name].macs_g
    assert round(params(config) / 1e6, 2) == POINTS[name].params_m


@pytest.mark.parametrize("name", sorted(WITH_HEADS))
def test_cost_in_print_is_that_with_twelve_heads_onto_the_teacher(name: str) -> None:
    config = read_config(ROOT / f"encoders/{ROWS[name][0]}.yaml")
    heads = 12 * (config.width + 1) * TEACHER
    assert (params(config) + heads) / 1e6 == pytest.approx(POINTS[name].params_m, abs=0.006)
    if name == "ARMHuBERT-S":
        macs = macs_superb(config) + 12 * FRAMES * config.width * TEACHER
        assert macs / 1e9 == pytest.approx(POINTS[name].macs_g, rel=0.0015)


def test_parameters_of_fithubert_in_print_are_those_with_what_spreads_its_frames() -> None:
    config = read_config(ROOT / "encoders/fithubert.yaml")
    spreading, head = (2 * config.width + 1) * config.width, (config.width + 1) * TEACHER
    assert round((params(config) + 2 * spreading + head) / 1e6, 2) == POINTS["FitHuBERT"].params_m


@pytest.mark.parametrize(
    ("name", "dropout"),
    [("HuBERT Base", True), ("wav2vec 2.0 Base", True), ("HuBERT Large", False), ("wav2vec 2.0 Large", True)],
)
def test_macs_in_print_are_those_with_what_torchs_attention_adds_to_its_products(name: str, dropout: bool) -> None:
    """As SUPERB's profiler counts it: biases and the scale of queries; of each map a mask, a softmax and dropout."""
    config = read_config(ROOT / f"encoders/{ROWS[name][0]}.yaml")
    maps = sum(block.heads for block in config.block_list) * sum(count**2 for count in FRAMES_OF)
    more = 4 * config.depth * FRAMES * config.width + (3 + dropout) * maps
    assert round((macs_superb(config) + more) / 1e9) == POINTS[name].macs_g
    if name == "HuBERT Base":
        # What the profiler has printed for each eight of its recordings.
        assert f"{(macs_superb(config) + more) / 1e9:.2f}" == "1669.16"


def test_macs_of_lighthubert_in_print_are_those_with_a_head_and_an_even_number_of_frames() -> None:
    config = read_config(ROOT / "encoders/hubert-12x384.yaml")
    (block, *_), width = config.block_list, config.width

    def blocks(count: int) -> int:
        return config.depth * count * (4 * width**2 + 2 * width * block.ffn + 2 * count * width)

    odd = [count for count in FRAMES_OF if count % 2]
    padded = sum(blocks(count + 1) - blocks(count) for count in odd)
    head = FRAMES * width * TEACHER
    assert len(odd) == 13
    assert [f"{more / 1e9:.2f}" for more in (head, padded)] == ["3.31", "0.37"]
    assert (macs_superb(config) + head + padded) / 1e9 == pytest.approx(POINTS["LightHuBERT small"].macs_g, rel=0.0001)


def difference(ours: float, printed: float) -> str:
    return f"{100 * (ours / printed - 1):+.2f} %"
