"""The model of latency and size: exact where its law holds, rough where nothing is known, never negative."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.encoder.config import Blocks, ConvConfig, EncoderConfig, LogMel, Waveform
from raysearch.encoder.cost import macs, params
from raysearch.exported.latency import Load
from raysearch.search.charging.model import (
    MB_OF,
    MS_OF,
    ChargeModel,
    latency_features,
    median_error,
    size_features,
)

LOAD = Load(seconds=5.0)


def student(depth: int, width: int, front_end: LogMel | Waveform | None = None) -> EncoderConfig:
    blocks = Blocks(count=depth, heads=4, head_width=width // 4, ffn=4 * width)
    return EncoderConfig(front_end=front_end or LogMel(), width=width, blocks=blocks)


def drawn(count: int) -> list[EncoderConfig]:
    rng = np.random.default_rng(0)
    return [student(int(rng.integers(1, 9)), 64 * int(rng.integers(1, 9))) for _ in range(count)]


def test_features_hold_all_macs_of_the_encoder() -> None:
    for one in (student(2, 128), student(3, 64, Waveform()), ConvConfig(channels=[8, 16], width=32)):
        found = latency_features(one, "fp32", LOAD)
        counted = found["conv"] + found["linear fp32"] + found.get("attention", 0.0)
        assert counted == pytest.approx(macs(one, 80_000) / 1e9)
        sizes = size_features(one, "fp32")
        assert sizes["linear fp32"] + sizes["other fp32"] == pytest.approx(params(one) / 1e6)


def test_a_batch_costs_so_many_times_the_work_and_one_call() -> None:
    one, four = (latency_features(student(2, 64), "fp32", Load(seconds=5.0, batch=batch)) for batch in (1, 4))
    for name, work in one.items():
        assert four[name] == pytest.approx(work * (1 if name in ("call", "block") else 4))


def test_rates_of_a_law_are_found_from_few_shapes() -> None:
    law = ChargeModel({name: 7 * rate for name, rate in MS_OF.items()})
    shapes = [latency_features(one, "fp32", LOAD) for one in drawn(14)]
    measured = [law(shape) for shape in shapes]
    model = ChargeModel(MS_OF)
    assert median_error(list(map(model, shapes)), measured) > 0.8
    model.fit(shapes[:6], measured[:6])
    assert median_error(list(map(model, shapes[6:])), measured[6:]) < 0.02
    assert median_error(model.left_out(shapes, measured), measured) < 0.02


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12))
@settings(deadline=None)
def test_what_is_foreseen_is_positive_whatever_was_measured(measured: list[float]) -> None:
    shapes = [size_features(one, "int8") for one in drawn(len(measured))]
    model = ChargeModel(MB_OF)
    model.fit(shapes, measured)
    for one in drawn(20):
        assert model(size_features(one, "int8")) > 0


def test_precisions_have_rates_of_their_own() -> None:
    model = ChargeModel(MB_OF)
    sizes = [model(size_features(student(6, 512), precision)) for precision in ("fp32", "fp16", "int8")]
    assert sizes[0] > 1.8 * sizes[1] > 1.8 * sizes[2]
