"""Whisper's encoder beside that of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, macs, macs_superb, params
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.huggingface import export_huggingface, import_huggingface
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import randomised
from tests.encoder.small_encoders import small

SHAPE = {
    "d_model": 24,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 40,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 8,
    "vocab_size": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "max_source_positions": 100,
    "max_target_positions": 8,
}
LONGEST = 100 * 320


def saved(folder: Path, kind: str = "WhisperModel", spread: float = 0.1, **changes: object) -> nn.Module:
    """A model of transformers with random weights, saved in `folder`, and its encoder."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**SHAPE | changes)
    model = WhisperEncoder(config) if kind == "WhisperEncoder" else getattr(transformers, kind)(config)
    randomised(model, spread)
    model.save_pretrained(folder)
    return model if kind == "WhisperEncoder" else model.get_encoder()


def speech(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples) * torch.linspace(0, 1, samples)


def features(audio_1S: torch.Tensor, bins: int = 80, padding: bool = False) -> torch.Tensor:
    """What transformers makes of a recording."""
    extractor = transformers.WhisperFeatureExtractor(feature_size=bins, chunk_length=2)
    how = {"padding": "max_length" if padding else False}
    return extractor(audio_1S[0].numpy(), sampling_rate=16_000, return_tensors="pt", **how)["input_features"]


def shortened(model: nn.Module, frames: int) -> nn.Module:
    """The model for recordings of so many frames: transformers takes no others than those of its full length."""
    model.config.max_source_positions = frames
    model.embed_positions = nn.Embedding.from_pretrained(model.embed_positions.weight[:frames])
    return model


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("samples", [LONGEST, 22_400, 640])
def test_every_layer_equals_transformers_at_any_length(samples: int, bins: int, tmp_path: Path) -> None:
    theirs = saved(tmp_path, num_mel_bins=bins)
    encoder = import_huggingface(tmp_path).eval()
    audio_1S = speech(samples)
    with torch.no_grad():
        found = encoder(audio_1S, torch.tensor([samples]))
        expected = shortened(theirs, samples // 320)(features(audio_1S, bins), output_hidden_states=True)
    # The library's last hidden state has passed the final norm.
    ours = [*found.hidden[:-1], found.output_BTD]
    for our_BTD, their_BTD in zip(ours, expected.hidden_states, strict=True):
        torch.testing.assert_close(our_BTD, their_BTD, atol=1e-5, rtol=0)


TINY, BASE, LARGE_V3 = (
    {"d_model": width, "encoder_attention_heads": width // 64, "encoder_ffn_dim": 4 * width, "num_mel_bins": bins}
    for width, bins in ((384, 80), (512, 80), (1280, 128))
)
"""Shapes of published sizes, whose depth is left to the test."""


@pytest.mark.parametrize("shape", [TINY, BASE, LARGE_V3], ids=["tiny", "base", "large-v3"])
def test_blocks_of_a_published_size_equal_those_of_transformers(shape: dict[str, int], tmp_path: Path) -> None:
    samples = 12_800
    theirs = saved(tmp_path, "WhisperEncoder", **shape, encoder_layers=1, spread=0.02)
    encoder = import_huggingface(tmp_path).eval()
    audio_1S = speech(samples)
    with torch.no_grad():
        found = encoder(audio_1S, torch.tensor([samples]))
        bins_BMT = features(audio_1S, shape["num_mel_bins"])
        expected = shortened(theirs, samples // 320)(bins_BMT, output_hidden_states=True).hidden_states
    for our_BTD, their_BTD in zip([found.hidden[0], found.output_BTD], expected, strict=True):
        torch.testing.assert_close(our_BTD, their_BTD, atol=1e-5, rtol=0)


def test_layers_of_real_weights_equal_transformers(speech: Path) -> None:
    folder = speech / "teachers" / "whisper-base-encoder"
    file = min((speech / "asr/an4/dev").rglob("*.flac"))
    audio_1S = torch.from_numpy(soundfile.read(file, dtype="float32")[0])[None]
    # transformers takes whole frames alone, and `features` up to two seconds.
    frames = min(100, audio_1S.shape[1] // 320)
    audio_1S = audio_1S[:, : 320 * frames]
    encoder = import_huggingface(folder).eval()
    theirs = WhisperEncoder(transformers.WhisperConfig.from_pretrained(folder)).eval()
    weights = load_file(folder / "model.safetensors")
    theirs.load_state_dict({key.removeprefix("model.encoder."): x.float() for key, x in weights.items()})
    with torch.no_grad():
        found = encoder(audio_1S, torch.tensor([320 * frames]))
        expected = shortened(theirs, frames)(features(audio_1S), output_hidden_states=True)
    ours = [*found.hidden[:-1], found.output_BTD]
    for our_BTD, their_BTD in zip(ours, expected.hidden_states, strict=True):
        torch.testing.assert_close(our_BTD, their_BTD, atol=1e-4, rtol=1e-5)


def test_bins_of_a_recording_that_is_padded_to_the_full_length(tmp_path: Path) -> None:
    saved(tmp_path)
    encoder = import_huggingface(tmp_path)
    audio_1S = nn.functional.pad(speech(20_000), (0, LONGEST - 20_000))
    bins_BTM = encoder.front_end.log_mel(audio_1S, torch.tensor([LONGEST]))
    torch.testing.assert_close(bins_BTM.transpose(1, 2), features(audio_1S, padding=True), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["WhisperModel", "WhisperForConditionalGeneration", "WhisperEncoder"])
def test_the_encoder_is_read_from_whichever_model_was_saved(kind: str, tmp_path: Path) -> None:
    theirs = saved(tmp_path, kind)
    encoder = import_huggingface(tmp_path)
    assert torch.equal(encoder.blocks[2].attention.k.weight, theirs.layers[2].self_attn.k_proj.weight)
    # The library counts the sinusoids, which nothing trains.
    assert params(encoder.config) == sum(p.numel() for p in theirs.parameters()) - 100 * 24


def test_half_precision_and_shards_are_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomised(transformers.WhisperModel(transformers.WhisperConfig(**SHAPE))).half()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    weight = import_huggingface(tmp_path).blocks[0].ffn.up.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, model.encoder.layers[0].fc1.weight.float())


def test_longer_than_the_sinusoids_is_one_line(tmp_path: Path) -> None:
    saved(tmp_path)
    encoder = import_huggingface(tmp_path)
    with pytest.raises(InputError, match=r"^a recording of 2\.5 s; expected at most 2 s: Whisper heard no longer$"):
        encoder(speech(40_000), torch.tensor([40_000]))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"encoder_attention_heads": 5}, "encoder_attention_heads: 5; expected a divisor of d_model = 24"),
        ({"d_model": "24"}, "d_model: '24'; expected"),
        ({"activation_function": "relu"}, "activation_function: 'relu'; expected 'gelu'"),
    ],
)
def test_settings_that_we_cannot_follow_are_refused(changes: dict[str, object], line: str, tmp_path: Path) -> None:
    saved(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=r"config\.json: ") as refused:
        import_huggingface(tmp_path)
    assert line in str(refused.value)


def test_other_windows_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"hop_length": 80}))
    with pytest.raises(InputError, match=r"preprocessor_config\.json: hop_length: 80; expected 160"):
        import_huggingface(tmp_path)


def test_there_and_back(tmp_path: Path) -> None:
    saved(tmp_path / "theirs")
    encoder = import_huggingface(tmp_path / "theirs")
    export_huggingface(encoder, tmp_path / "ours")
    again = import_huggingface(tmp_path / "ours")
    assert again.config == encoder.config
    assert all(torch.equal(x, encoder.state_dict()[name]) for name, x in again.state_dict().items())
    audio_1S = speech(LONGEST)
    loaded = transformers.WhisperModel.from_pretrained(tmp_path / "ours").get_encoder().eval()
    reads = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "ours")
    bins_BMT = reads(audio_1S[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"]
    with torch.no_grad():
        expected = encoder.eval()(audio_1S, torch.tensor([LONGEST])).output_BTD
        found = loaded(bins_BMT).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_shallower_and_thinner_encoder_is_loaded_by_transformers(tmp_path: Path) -> None:
    """Slicing leaves the width, and transformers has one number for the units of all blocks."""
    saved(tmp_path / "theirs")
    encoder = import_huggingface(tmp_path / "theirs")
    blocks = [block.model_copy(update={"ffn": 12}) for block in encoder.config.block_list[:2]]
    torch.manual_seed(0)
    smaller = Encoder(encoder.config.model_copy(update={"blocks": blocks})).eval()
    export_huggingface(smaller, tmp_path / "ours")
    loaded = transformers.WhisperModel.from_pretrained(tmp_path / "ours").get_encoder().eval()
    audio_1S = speech(LONGEST)
    with torch.no_grad():
        expected = smaller(audio_1S, torch.tensor([LONGEST])).output_BTD
        found = loaded(features(audio_1S)).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("sliced", "line"),
    [
        ({"channels": [4, 16]}, "front_end: sliced or of other strides"),
        ({}, "blocks: of unequal or reduced sizes"),
    ],
)
def test_sliced_encoder_cannot_go_back(sliced: dict[str, object], line: str, tmp_path: Path) -> None:
    config: EncoderConfig = small("whisper", "pre")
    front_end = config.front_end.model_copy(update={"channels": [16, 16]} | sliced)
    with pytest.raises(InputError, match=line):
        export_huggingface(Encoder(config.model_copy(update={"front_end": front_end})), tmp_path)


def test_macs_of_whisper_base_by_hand() -> None:
    """500 frames of 10 s: two convolutions, six blocks with four linear layers, two products and an FFN each."""
    config = read_config(Path(__file__).parents[3] / "encoders/whisper-base.yaml")
    convs = 1000 * 80 * 512 * 3 + 500 * 512 * 512 * 3
    block = 500 * (4 * 512 * 512 + 2 * 512 * 2048) + 2 * 500 * 500 * 512
    assert macs(config, 160_000) == convs + 6 * block
    # The published encoder has 20,590,592, of which 1,500 x 512 are sinusoids.
    assert params(config) == 20_590_592 - 1500 * 512


@pytest.mark.parametrize("samples", [160_000, 480_000, SUPERB_SAMPLES], ids=["10 s", "30 s", "SUPERB"])
def test_macs_of_whisper_base_are_those_that_transformers_executes(samples: int | tuple[int, ...]) -> None:
    """The library's own encoder counts them, on the meta device, where shapes alone are computed."""
    config = read_config(Path(__file__).parents[3] / "encoders/whisper-base.yaml")
    lengths = (samples,) if isinstance(samples, int) else samples
    shape = {**BASE, "encoder_layers": 6, "max_source_positions": 1500}
    with torch.device("meta"):
        theirs = WhisperEncoder(transformers.WhisperConfig(**SHAPE | shape, attn_implementation="eager")).eval()
        executed = 0
        for length in lengths:
            # The library takes pairs of log-mel bins alone. Ours pads the odd one, so both have as many frames.
            frames = -(-(length // 160) // 2)
            theirs.config.max_source_positions, theirs.embed_positions = frames, nn.Embedding(frames, 512)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                theirs(torch.empty(1, 80, 2 * frames))
            # The first convolution also reads the bin that fills the last pair.
            filled = 2 * frames - length // 160
            executed += counter.get_total_flops() // 2 - filled * 80 * 512 * 3
    assert (macs_superb(config) if samples == SUPERB_SAMPLES else macs(config, samples)) == executed
