"""Encoders from folders of transformers, layer by layer, and back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from raysearch.encoder.config import Block
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.huggingface import export_huggingface, import_huggingface
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import assert_layers_of_transformers, transformers_folder
from tests.encoder.small_encoders import small

KINDS = [f"{name}-{size}" for name in ("hubert", "wav2vec2", "wavlm") for size in ("base", "large")]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_against_transformers(kind: str, tmp_path: Path) -> None:
    model = transformers_folder(tmp_path, kind)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    encoder = import_huggingface(tmp_path)
    assert encoder.config.norm == ("pre" if config["do_stable_layer_norm"] else "post")
    for lengths in ((), (4000, 2345)):
        assert_layers_of_transformers(model, encoder, torch.randn(2, 4000), *lengths)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Hubert", "WavLM"])
def test_layers_against_transformers_at_full_size(name: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")()).eval()
    model.save_pretrained(tmp_path)
    assert_layers_of_transformers(model, import_huggingface(tmp_path), torch.randn(1, 16_000))


@pytest.mark.parametrize("kind", ["hubert-base", "hubert-large", "wavlm-base", "wavlm-large"])
def test_folder_there_and_back_is_the_same(kind: str, tmp_path: Path) -> None:
    import transformers

    transformers_folder(tmp_path / "theirs", kind)
    encoder = import_huggingface(tmp_path / "theirs")
    export_huggingface(encoder, tmp_path / "ours")
    theirs, ours = (load_file(tmp_path / side / "model.safetensors") for side in ("theirs", "ours"))
    theirs.pop("masked_spec_embed")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    model, report = transformers.AutoModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report[fault] for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert import_huggingface(tmp_path / "ours").config == encoder.config
    encoder.front_end.normalise = False  # transformers does it outside of the model
    assert_layers_of_transformers(model.eval(), encoder, torch.randn(1, 4000))


def test_pickled_weights_give_the_same_encoder(tmp_path: Path) -> None:
    transformers_folder(tmp_path / "a", "wavlm-base")
    transformers_folder(tmp_path / "b", "wavlm-base", pickled=True)
    one, other = (import_huggingface(tmp_path / side).state_dict() for side in ("a", "b"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_model_with_a_head_gives_its_encoder(tmp_path: Path) -> None:
    transformers_folder(tmp_path, "hubert-base")
    weights = load_file(tmp_path / "model.safetensors")
    bare = import_huggingface(tmp_path).state_dict()
    headed = {f"hubert.{key}": tensor for key, tensor in weights.items()}
    save_file(headed | {"lm_head.weight": torch.zeros(5, 24)}, tmp_path / "model.safetensors")
    found = import_huggingface(tmp_path).state_dict()
    assert all(torch.equal(found[key], bare[key]) for key in bare)


def test_normalisation_is_as_the_folder_says(tmp_path: Path) -> None:
    transformers_folder(tmp_path, "hubert-large")
    assert import_huggingface(tmp_path).config.front_end.normalise
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    assert not import_huggingface(tmp_path).config.front_end.normalise


def test_missing_weights_are_named_as_in_the_file(tmp_path: Path) -> None:
    transformers_folder(tmp_path, "hubert-base")
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("encoder.layers.2.attention.q_proj.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        InputError, match=r"model\.safetensors: missing: encoder\.layers\.2\.attention\.q_proj\.weight;"
    ):
        import_huggingface(tmp_path)


def test_truncated_file_is_one_line(tmp_path: Path) -> None:
    transformers_folder(tmp_path / "a", "hubert-base")
    transformers_folder(tmp_path / "b", "hubert-base", pickled=True)
    for file in (tmp_path / "a/model.safetensors", tmp_path / "b/pytorch_model.bin"):
        file.write_bytes(file.read_bytes()[:-1000])
        with pytest.raises(InputError, match=f"{file.name}: .+; expected") as caught:
            import_huggingface(file.parent)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("model_type", "data2vec-audio", "model_type: 'data2vec-audio'; expected one of hubert, wav2vec2, wavlm"),
        ("hidden_act", "relu", "hidden_act: 'relu'; expected 'gelu'"),
        ("hidden_size", 25, "num_attention_heads: 2; expected a divisor of hidden_size = 25"),
        ("num_hidden_layers", 4, "missing: encoder.layers.3.attention.k_proj.bias"),
        ("num_hidden_layers", 2, "unexpected: blocks.2.attention"),
        ("intermediate_size", 48, "wrong shape"),
    ],
)
def test_config_of_another_model_is_refused(key: str, value: object, fault: str, tmp_path: Path) -> None:
    transformers_folder(tmp_path, "hubert-base")
    config = json.loads((tmp_path / "config.json").read_text()) | {key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        import_huggingface(tmp_path)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (small("logmel"), "front_end.kind: logmel"),
        (small("group"), "blocks: of unequal"),
        (small("group", blocks=[Block(heads=1, head_width=8, ffn=8)]), "blocks: of unequal or reduced"),
    ],
)
def test_what_transformers_has_no_place_for_is_not_exported(config, fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fault):
        export_huggingface(Encoder(config), tmp_path / "out")
    assert not (tmp_path / "out").exists()
