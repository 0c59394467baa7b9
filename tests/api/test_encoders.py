"""Encoders from Python: what they cost, whatever says what they are, and as modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import raysearch
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.config import Block
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.search.costs import encoder_cost
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


def test_cost_of_a_search_says_of_which_student_and_what_its_space_holds() -> None:
    spec = raysearch.load_spec(QUICKSTART)
    found = raysearch.encoder_cost(spec)
    dearest = {"student.depth": 4, "student.width": 192, "student.channels": 256}
    assert found["student"] == {"method": "dicehubert", **dearest}
    every = [
        encoder_cost(spec.student_config(config | {"method": "dicehubert"}, spec.teacher.encoder())).macs_g
        for config in (
            {"student.depth": depth, "student.width": width, "student.channels": channels}
            for depth in (1, 2, 3, 4)
            for width in (64, 96, 128, 192)
            for channels in (64, 128, 256)
        )
    ]
    least, most = found["space"]["least"], found["space"]["most"]
    assert (least["macs_g"], most["macs_g"]) == (pytest.approx(min(every)), pytest.approx(max(every)))
    assert most["student"] == found["student"]
    chosen = raysearch.encoder_cost(QUICKSTART, overrides={"search.start": [{"student.depth": 2}]})
    assert chosen["student"]["student.depth"] == 2
    assert chosen["space"] == found["space"]


def test_cost_of_an_encoders_folder_and_of_one_of_another_library(tmp_path: Path) -> None:
    encoder = Encoder(small("group", blocks=[Block(heads=2, head_width=8, ffn=24)] * 2)).eval()
    expected = raysearch.encoder_cost(encoder)
    raysearch_folder, transformers = tmp_path / "ours", tmp_path / "theirs"
    save_encoder(encoder, raysearch_folder)
    raysearch.convert_encoder(str(raysearch_folder), transformers, "huggingface")
    assert raysearch.encoder_cost(raysearch_folder) == expected
    assert raysearch.encoder_cost(f"hf:{transformers}") == expected
    spec = raysearch.load_spec(QUICKSTART, {"teacher": {"source": f"hf:{transformers}"}})
    assert raysearch.encoder_cost(spec) == raysearch.encoder_cost(QUICKSTART)
    with pytest.raises(InputError, match=rf"a folder of Hugging Face's transformers; expected it as hf:{transformers}"):
        raysearch.encoder_cost(transformers)
    with pytest.raises(InputError, match=r"none/config.json: No such file"):
        raysearch.encoder_cost(QUICKSTART, overrides={"teacher": {"source": str(tmp_path / "none")}})


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
