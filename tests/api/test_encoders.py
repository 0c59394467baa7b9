"""Encoders from Python: what they cost, whatever says what they are, and as modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import raysearch
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from tests.encoder.small_encoders import small

ROOT = Path(__file__).parents[2]
BASE = ROOT / "encoders/hubert-base.yaml"
QUICKSTART = ROOT / "search_spaces/quickstart.yaml"


def test_cost_of_hubert_base_is_the_published_one() -> None:
    found = raysearch.encoder_cost(BASE)
    assert found["macs_g"] == pytest.approx(1665.4, rel=2e-4)
    assert found["params"] == 94_370_944
    assert sum(found["parts_g"].values()) == pytest.approx(found["macs_g"])
    assert raysearch.encoder_cost(BASE, 10.0)["macs_g"] == pytest.approx(74.07, rel=2e-4)


def test_cost_is_the_same_of_a_file_what_it_says_and_what_it_describes() -> None:
    config = small()
    assert raysearch.encoder_cost(Encoder(config)) == raysearch.encoder_cost(config)
    assert raysearch.encoder_cost(read_config(BASE)) == raysearch.encoder_cost(str(BASE))
    start = {"search.start": [{"student.width": 64}]}
    spec = raysearch.load_spec(QUICKSTART, start)
    assert raysearch.encoder_cost(spec) == raysearch.encoder_cost(QUICKSTART, overrides=start)
    assert raysearch.encoder_cost(spec)["params"] < raysearch.encoder_cost(QUICKSTART)["params"]


def test_back_end_is_counted_beside_the_encoder() -> None:
    found = raysearch.encoder_cost(small(), 4.0, ecapa=16)
    assert found["macs_total_g"] > found["macs_g"]
    assert found["params_total"] > found["params"]


def test_encoder_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    encoder = Encoder(small()).eval()
    save_encoder(encoder, tmp_path / "one")
    raysearch.convert_encoder(str(tmp_path / "one"), tmp_path / "two")
    again = raysearch.load_encoder(tmp_path / "two")
    assert not again.training
    heard = torch.randn(1, 16_000), torch.tensor([16_000])
    assert torch.equal(again(*heard).output_BTD, encoder(*heard).output_BTD)
    with pytest.raises(InputError, match="two: is not empty; expected a new folder"):
        raysearch.convert_encoder(str(tmp_path / "one"), tmp_path / "two")
    with pytest.raises(InputError, match="--layout: onnx; expected one of raysearch, huggingface"):
        raysearch.convert_encoder(str(tmp_path / "one"), tmp_path / "three", "onnx")
