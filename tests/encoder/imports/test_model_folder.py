"""What lies in a model folder of Hugging Face, as people have it: shards, pointers, heads, odd configs."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from raysearch.encoder.checkpoint import WEIGHTS_NAME
from raysearch.encoder.imports.huggingface import import_huggingface
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import CONVS, randomised, transformers_folder

PICKLE = "pytorch_model.bin"
EXTRACTOR = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16_000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `save_pretrained` leaves it, with a small HuBERT."""
    transformers_folder(tmp_path / "model", "hubert-base")
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        import_huggingface(folder)
    message = str(caught.value)
    assert len(message) < 400 + len(str(folder))
    return message.replace(f"{folder}/", "")


def divided(folder: Path, name: str) -> dict[str, str]:
    """Divides the weights into two shards with an index, and returns the file of each weight."""
    weights = load_file(folder / WEIGHTS_NAME)
    (folder / WEIGHTS_NAME).unlink()
    half, (stem, suffix) = len(weights) // 2, name.split(".")
    shards: dict[str, str] = {}
    for number, part in enumerate((list(weights)[:half], list(weights)[half:]), start=1):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        tensors = {key: weights[key] for key in part}
        save = save_file if name == WEIGHTS_NAME else torch.save
        save(tensors, folder / file)
        shards |= dict.fromkeys(part, file)
    (folder / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    return shards


@pytest.mark.parametrize("name", [WEIGHTS_NAME, PICKLE])
def test_shards_give_the_encoder_that_one_file_gives(name: str, folder: Path) -> None:
    whole = import_huggingface(folder).state_dict()
    divided(folder, name)
    found = import_huggingface(folder).state_dict()
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[key], whole[key]) for key in whole)


def test_faults_of_shards_are_told_by_file_and_weight(folder: Path) -> None:
    shards = divided(folder, WEIGHTS_NAME)
    index = folder / f"{WEIGHTS_NAME}.index.json"
    first, second = sorted(set(shards.values()))
    index.write_text(json.dumps({"weight_map": shards | {"extra.weight": second}}))
    assert refusal(folder) == f"{second}: missing: extra.weight; expected the weights that {index.name} names"
    index.write_text(json.dumps({"weight_map": shards | {"extra.weight": "../other.safetensors"}}))
    assert refusal(folder) == f"{index.name}: '../other.safetensors'; expected the name of a file beside it"
    index.write_text(json.dumps({"weight_map": []}))
    assert refusal(folder) == f"{index.name}: weight_map: []; expected the name of a file for each weight"
    index.write_text(json.dumps({"weight_map": shards}))
    twice = "encoder.layer_norm.weight"
    for name in (first, second):
        save_file(load_file(folder / name) | {twice: torch.zeros(24)}, folder / name)
    assert refusal(folder) == f"{second}: {twice}: in another shard too; expected each weight once"
    (folder / second).unlink()
    assert refusal(folder) == f"{second}: no such file; expected the shard that {index.name} names"


@pytest.mark.parametrize("file", ["config.json", WEIGHTS_NAME, PICKLE, f"{PICKLE}.index.json"])
def test_pointer_of_git_lfs_is_told_as_such(file: str, folder: Path) -> None:
    if file.startswith(PICKLE):
        (folder / WEIGHTS_NAME).unlink()
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 377569754\n")
    assert refusal(folder) == f"{file}: a git-lfs pointer; expected the file itself: git lfs pull"


def test_folder_without_weights_says_which_there_may_be(folder: Path) -> None:
    (folder / WEIGHTS_NAME).unlink()
    assert refusal(folder).endswith(
        "no weights; expected one of model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
        "pytorch_model.bin.index.json"
    )


@pytest.mark.parametrize("name", ["WavLMForXVector", "Wav2Vec2ForXVector"])
def test_head_for_speakers_is_left_behind(name: str, tmp_path: Path) -> None:
    import transformers

    channels, kernels, strides = (list(column) for column in zip(*CONVS, strict=True))
    config = getattr(transformers, name.replace("ForXVector", "Config"))(
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        num_feat_extract_layers=len(CONVS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=40,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        tdnn_dim=(16, 16, 16),
        tdnn_kernel=(3, 3, 1),
        tdnn_dilation=(1, 2, 1),
        xvector_output_dim=16,
        use_weighted_layer_sum=True,
    )
    model = randomised(getattr(transformers, name)(config))
    model.save_pretrained(tmp_path / "headed")
    model.base_model.save_pretrained(tmp_path / "bare")
    headed, bare = (import_huggingface(tmp_path / side).state_dict() for side in ("headed", "bare"))
    assert all(torch.equal(headed[key], bare[key]) for key in bare)


SMALL = {
    "conv_dim": [column[0] for column in CONVS],
    "conv_kernel": [column[1] for column in CONVS],
    "conv_stride": [column[2] for column in CONVS],
    "num_feat_extract_layers": len(CONVS),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 8,
}


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        (
            "Wav2Vec2ForCTC",
            {"adapter_attn_dim": 4},
            "adapter_attn_dim: 4; expected None: adapters in the blocks, one set",
        ),
        ("Wav2Vec2Model", {"add_adapter": True}, "add_adapter: True; expected False: convolutions behind the encoder"),
        (
            "Data2VecAudioModel",
            {},
            "model_type: 'data2vec-audio'; expected one of hubert, wav2vec2, wavlm, whisper",
        ),
        (
            "Wav2Vec2BertModel",
            {"output_hidden_size": 24},
            "model_type: 'wav2vec2-bert'; expected one of hubert, wav2vec2, wavlm, whisper",
        ),
    ],
)
def test_model_of_another_kind_is_refused_in_one_line(
    name: str, changes: dict[str, object], told: str, tmp_path: Path
) -> None:
    """MMS with its adapters, an encoder with convolutions behind it, and two relatives of wav2vec 2.0."""
    import transformers

    config = re.sub(r"Model$|ForCTC$", "Config", name)
    getattr(transformers, name)(getattr(transformers, config)(**SMALL | changes)).save_pretrained(tmp_path)
    assert refusal(tmp_path).startswith(f"config.json: {told}")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_no_number_is_named(value: float, folder: Path) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    weights["encoder.layers.1.attention.k_proj.weight"][3, 4] = value
    save_file(weights, folder / WEIGHTS_NAME)
    key = "encoder.layers.1.attention.k_proj.weight"
    assert refusal(folder) == f"{WEIGHTS_NAME}: {key}: NaN or infinite; expected finite weights"
    # What is left behind need not be finite.
    weights[key].zero_()
    save_file(weights | {"masked_spec_embed": torch.full((24,), value)}, folder / WEIGHTS_NAME)
    import_huggingface(folder)


def test_weights_in_half_precision_are_read_in_single(folder: Path) -> None:
    halves = {key: tensor.half() for key, tensor in load_file(folder / WEIGHTS_NAME).items()}
    save_file(halves, folder / WEIGHTS_NAME)
    found = import_huggingface(folder).state_dict()
    assert torch.equal(found["norm.weight"], halves["encoder.layer_norm.weight"].float())
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    save_file(halves | {"encoder.layer_norm.weight": torch.zeros(24, dtype=torch.int8)}, folder / WEIGHTS_NAME)
    assert refusal(folder) == (
        f"{WEIGHTS_NAME}: encoder.layer_norm.weight: no tensor of floating-point numbers; expected one"
    )


def test_recordings_are_normalised_as_the_processor_says(folder: Path) -> None:
    nested = folder / "processor_config.json"
    nested.write_text(json.dumps({"feature_extractor": EXTRACTOR, "processor_class": "Wav2Vec2Processor"}))
    assert import_huggingface(folder).config.front_end.normalise
    # As transformers does: the file of the processor counts, if both speak.
    (folder / "preprocessor_config.json").write_text(json.dumps(EXTRACTOR | {"do_normalize": False}))
    assert import_huggingface(folder).config.front_end.normalise
    # Older versions wrote a file of the processor that says nothing of it.
    nested.write_text(json.dumps({"processor_class": "Wav2Vec2Processor"}))
    assert not import_huggingface(folder).config.front_end.normalise


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sampling_rate": 8000}, "sampling_rate: 8000 Hz; expected 16000 Hz"),
        ({"sampling_rate": None}, "sampling_rate: None Hz; expected 16000 Hz"),
        ({"do_normalize": "no"}, "do_normalize: 'no'; expected true or false"),
    ],
)
def test_processor_of_other_recordings_is_refused(change: dict[str, object], told: str, folder: Path) -> None:
    file, nested = folder / "preprocessor_config.json", folder / "processor_config.json"
    file.write_text(json.dumps(EXTRACTOR | change))
    assert refusal(folder) == f"{file.name}: {told}"
    nested.write_text(json.dumps({"feature_extractor": EXTRACTOR | change}))
    assert refusal(folder) == f"{nested.name}: feature_extractor.{told}"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_attention_heads", "2", "'2'; expected a valid integer"),
        ("num_attention_heads", 0, "0; expected greater than or equal to 1"),
        ("num_attention_heads", 5, "5; expected a divisor of hidden_size = 24"),
        ("num_conv_pos_embedding_groups", 5, "5; expected a divisor of hidden_size = 24"),
        ("hidden_size", None, "None; expected a valid integer"),
        ("hidden_size", [24], "list; expected a valid integer"),
        ("hidden_size", True, "True; expected a valid integer"),
        ("hidden_size", 24.5, "24.5; expected a valid integer"),
        ("num_hidden_layers", -1, "-1; expected greater than or equal to 1"),
        ("num_hidden_layers", 10**9, "1000000000; expected less than or equal to 1000"),
        ("intermediate_size", float("nan"), "nan; expected a valid integer"),
        ("conv_dim", 8, "8; expected a list"),
        ("conv_dim", [8, 8], "channels, kernels and strides differ in length"),
        ("conv_bias", "no", "'no'; expected true or false"),
        ("feat_extract_norm", "batch", "'batch'; expected 'group' or 'layer'"),
        ("feat_extract_activation", "relu", "'relu'; expected 'gelu'"),
        ("hidden_act", ["gelu"], "['gelu']; expected 'gelu'"),
        ("adapter_attn_dim", 16, "16; expected None"),
        ("model_type", "data2vec-audio", "'data2vec-audio'; expected one of hubert, wav2vec2, wavlm"),
        ("model_type", ["hubert"], "['hubert']; expected one of hubert, wav2vec2, wavlm"),
        ("model_type", "x" * 1000, f"'{'x' * 76}...; expected one of hubert, wav2vec2, wavlm"),
    ],
)
def test_value_that_no_config_has_is_told_by_its_key(key: str, value: object, told: str, folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {key: value}))
    where = "front_end" if "differ" in told else key
    assert refusal(folder).startswith(f"config.json: {where}: {told}")


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "\xff", '{"a": ' + "9" * 5000 + "}", "{"])
def test_config_that_is_no_mapping_is_refused(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert refusal(folder).startswith("config.json: ")
