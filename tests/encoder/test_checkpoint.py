"""Encoders on disk: what is saved is what is loaded, and what is wrong is named."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import Block, EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from tests.encoder.small_encoders import each_kind, small


@each_kind
def test_loaded_encoder_equals_the_saved_one(config: EncoderConfig, tmp_path: Path) -> None:
    encoder = Encoder(config)
    if config.front_end.kind == "logmel":
        encoder.front_end.log_mel.set_normalisation(torch.full([20], 5.0), torch.full([20], 2.0))
    save_encoder(encoder, tmp_path)
    generator_state = torch.get_rng_state()
    loaded = load_encoder(tmp_path)
    assert torch.equal(torch.get_rng_state(), generator_state)
    assert loaded.config == config
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    audio_BS, samples_B = torch.randn(1, 4000), torch.tensor([4000])
    assert torch.equal(loaded(audio_BS, samples_B).output_BTD, encoder(audio_BS, samples_B).output_BTD)


def test_save_leaves_two_files_and_replaces_them(tmp_path: Path) -> None:
    save_encoder(Encoder(small("layer")), tmp_path)
    save_encoder(Encoder(small("logmel")), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert load_encoder(tmp_path).config == small("logmel")


def test_save_that_fails_keeps_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(small())
    save_encoder(encoder, tmp_path)
    monkeypatch.setattr(
        "raysearch.encoder.checkpoint.save_file", lambda *a, **k: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        save_encoder(Encoder(small("layer")), tmp_path)
    assert torch.equal(load_encoder(tmp_path).projection.weight, encoder.projection.weight)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_load_of_other_keys_names_them(tmp_path: Path) -> None:
    save_encoder(Encoder(small()), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["head.weight"] = weights.pop("projection.bias")
    weights["norm.weight"] = torch.zeros(3)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError) as caught:
        load_encoder(tmp_path)
    for named in ("missing: projection.bias", "unexpected: head.weight", "norm.weight (3,) for (16,)"):
        assert named in str(caught.value)


def test_load_when_config_is_another_encoders_is_refused(tmp_path: Path) -> None:
    save_encoder(Encoder(small()), tmp_path)
    other = small(blocks=[Block(heads=2, head_width=8, ffn=25)])
    (tmp_path / "config.json").write_text(other.model_dump_json())
    with pytest.raises(InputError, match=r"unexpected: blocks\.1.*wrong shape: blocks\.0\.ffn\.down\.weight"):
        load_encoder(tmp_path)


def test_load_of_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text(small().model_dump_json())
    with pytest.raises(InputError, match=r"model\.safetensors: no such file; expected"):
        load_encoder(tmp_path)
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"model\.pt: pickles are not loaded"):
        load_encoder(tmp_path)


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def test_load_of_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(small().model_dump_json())
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(InputError, match="expected a safetensors file"):
        load_encoder(tmp_path)
