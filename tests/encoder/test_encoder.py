"""The encoder's contract: shapes, padding, gradients, normalisation."""

import copy

import pytest
import torch
from pydantic import ValidationError

from raysearch.encoder.config import Block, EncoderConfig, LogMel, RelativePositions
from raysearch.encoder.encoder import Encoder, fit_normalisation
from raysearch.encoder.frames import mel_frames
from raysearch.encoder.front_end import FrameNorm
from tests.encoder.small_encoders import FRONT_ENDS, REUSED, THIN, WAVLM, each_kind, each_thin, small, thin

SAMPLES = torch.tensor([9000, 4321])


def speech(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch() -> torch.Tensor:
    audio_BS = speech(2, int(SAMPLES.max()))
    audio_BS[1, SAMPLES[1] :] = 0
    return audio_BS


@each_kind
def test_forward_gives_every_hidden_state_of_exact_frames(config: EncoderConfig) -> None:
    encoder = Encoder(config)
    encoded = encoder(batch(), SAMPLES)
    assert encoded.frames_B.tolist() == [encoder.frames(9000), encoder.frames(4321)]
    assert encoded.frames_B.dtype == torch.int64
    assert [state.shape for state in encoded.hidden] == [(2, encoder.frames(9000), 16)] * 3
    last = encoded.hidden[-1]
    expected = last if config.norm == "post" else torch.nn.functional.layer_norm(last, [16])
    torch.testing.assert_close(encoded.output_BTD, expected)


@each_kind
def test_every_parameter_gets_a_gradient(config: EncoderConfig) -> None:
    encoder = Encoder(config)
    encoder(batch(), SAMPLES).output_BTD[..., 0].square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # Softmax does not see what is added to all keys alike: that bias has a gradient of rounding errors, or none.
    assert not [name for name in without if not name.endswith("attention.k.bias")]


@each_kind
def test_explicit_attention_equals_fused(config: EncoderConfig) -> None:
    fused, explicit = Encoder(config), Encoder(config, attention="explicit")
    explicit.load_state_dict(fused.state_dict())
    for samples_B in (SAMPLES, torch.tensor([9000, 9000])):
        ours, theirs = fused(batch(), samples_B), explicit(batch(), samples_B)
        torch.testing.assert_close(ours.hidden, theirs.hidden, atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("shorter", [4321, 4000, 4160, 4480, 500])
def test_padded_utterance_equals_itself_alone(front_end: str, norm: str, shorter: int) -> None:
    encoder = Encoder(small(front_end, norm))
    audio_BS = batch()
    audio_BS[1, shorter:] = 0
    padded = encoder(audio_BS, torch.tensor([9000, shorter]))
    alone = encoder(audio_BS[1:, :shorter], torch.tensor([shorter]))
    frames = int(alone.frames_B)
    assert frames == alone.output_BTD.shape[1] == padded.frames_B[1]
    # The final LayerNorm of a small encoder magnifies what rounding leaves.
    torch.testing.assert_close(padded.output_BTD[1:, :frames], alone.output_BTD, atol=1e-4, rtol=0)
    for inside, outside in zip(padded.hidden, alone.hidden, strict=True):
        torch.testing.assert_close(inside[1:, :frames], outside, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bias", [False, True])
def test_frame_norm_then_group_norm_of_each_row_alone_and_its_gradients(bias: bool) -> None:
    conv, norm = torch.nn.Conv1d(1, 8, 10, stride=5, bias=bias), FrameNorm(8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    # Rumble of a hundred times the rest, and an offset: the first kernel hears neither.
    audio_BS = 0.01 * speech(2, 9000) + torch.sin(torch.arange(9000) / 300) + 0.5
    with torch.no_grad():
        conv.weight[0] = torch.tensor([0.0, 0, 0, 1, -4, 6, -4, 1, 0, 0])
    x_BCT = norm(conv(audio_BS[:, None]), conv, audio_BS, (SAMPLES - 10) // 5 + 1)
    own = torch.autograd.grad(x_BCT[1, :, : (4321 - 10) // 5 + 1].pow(3).sum(), (conv.weight, norm.weight, norm.bias))
    wide, group = copy.deepcopy(conv).double(), torch.nn.GroupNorm(8, 8).double()
    group.load_state_dict(norm.state_dict())
    for row, samples in enumerate(SAMPLES.tolist()):
        expected_1CT = group(wide(audio_BS[row, None, None, :samples].double()))
        found_1CT = x_BCT[row, None, :, : expected_1CT.shape[2]].double()
        # The convolution itself rounds in proportion to the rumble.
        torch.testing.assert_close(found_1CT, expected_1CT, atol=5e-4, rtol=0)
    theirs = torch.autograd.grad(expected_1CT.pow(3).sum(), (wide.weight, group.weight, group.bias))
    for mine, their in zip(own, theirs, strict=True):
        torch.testing.assert_close(mine.double(), their, atol=1e-2 * float(their.abs().max()), rtol=0)


def test_projected_features_then_as_loud_as_hubert_starts_them_at_any_width() -> None:
    for channels in (32, 512):
        encoder = Encoder(small().model_copy(update={"front_end": LogMel(channels=[8, channels])}))
        theirs = torch.nn.Linear(channels, 4096)
        x_XC = torch.nn.functional.layer_norm(torch.randn(1000, channels), [channels])
        loudness = encoder.projection(x_XC).square().mean().sqrt().item()
        assert loudness == pytest.approx(theirs(x_XC).square().mean().sqrt().item(), rel=0.1)
        assert loudness == pytest.approx(3**-0.5, rel=0.1)


@each_kind
@pytest.mark.parametrize("attention", ["fused", "explicit"])
def test_row_shorter_than_a_frame_leaves_all_gradients_finite(config: EncoderConfig, attention: str) -> None:
    encoder = Encoder(config, attention=attention)
    audio_BS = batch()
    audio_BS[1, 150:] = 0
    encoded = encoder(audio_BS, torch.tensor([9000, 150]))
    assert encoded.frames_B[1] == 0
    encoded.output_BTD[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_emptied_sublayers_add_their_bias_only(norm: str) -> None:
    emptied = Block(heads=0, head_width=8, ffn=0)
    encoder = Encoder(small(norm=norm, blocks=[emptied]))
    torch.nn.init.normal_(encoder.blocks[0].attention.bias)
    torch.nn.init.normal_(encoder.blocks[0].ffn.bias)
    before, after = encoder(batch(), SAMPLES).hidden
    for bias in (encoder.blocks[0].attention.bias, encoder.blocks[0].ffn.bias):
        before = before + bias
        if norm == "post":
            before = torch.nn.functional.layer_norm(before, [16])
    torch.testing.assert_close(after, before)


def test_features_then_encode_equals_forward() -> None:
    encoder = Encoder(small())
    features_BTD, frames_B = encoder.features(batch(), SAMPLES)
    output_BTD = encoder.encode(features_BTD, frames_B).output_BTD
    assert torch.equal(output_BTD, encoder(batch(), SAMPLES).output_BTD)


def test_copy_after_a_training_step_is_independent() -> None:
    encoder = Encoder(small())
    encoder(batch(), SAMPLES).output_BTD.sum().backward()
    twin = copy.deepcopy(encoder)
    before_BTD = encoder(batch(), SAMPLES).output_BTD
    assert torch.equal(twin(batch(), SAMPLES).output_BTD, before_BTD)
    with torch.no_grad():
        twin.position_conv.conv.parametrizations.weight.original0.zero_()
    assert not torch.equal(twin(batch(), SAMPLES).output_BTD, before_BTD)
    assert torch.equal(encoder(batch(), SAMPLES).output_BTD, before_BTD)


def test_dropout_acts_in_training_only() -> None:
    encoder = Encoder(small(), dropout=0.5)
    first, second = (encoder(batch(), SAMPLES).output_BTD for _ in range(2))
    assert not torch.equal(first, second)
    encoder.eval()
    first, second = (encoder(batch(), SAMPLES).output_BTD for _ in range(2))
    assert torch.equal(first, second)


def test_fit_normalisation_gives_valid_frames_zero_mean_and_unit_deviation() -> None:
    encoder = Encoder(small("logmel"))
    # Two batches, so that the sums must be carried over; garbage in the padding, so that it must be left out.
    batches = [(speech(2, 9000, seed=1), SAMPLES), (3 * speech(1, 5000, seed=2), torch.tensor([5000]))]
    fit_normalisation(encoder, batches)
    log_mel = encoder.front_end.log_mel
    frames = [
        log_mel(audio_BS[i : i + 1, :n], mel_frames(n[None]))[0]
        for audio_BS, samples_B in batches
        for i, n in enumerate(samples_B)
    ]
    std_M, mean_M = torch.std_mean(torch.cat(frames), dim=0, correction=0)
    torch.testing.assert_close(mean_M, torch.zeros(20), atol=1e-4, rtol=0)
    torch.testing.assert_close(std_M, torch.ones(20), atol=1e-4, rtol=0)


def test_fit_normalisation_of_a_waveform_encoder_reads_nothing() -> None:
    encoder = Encoder(small("layer"))
    before = encoder(batch(), SAMPLES).output_BTD
    fit_normalisation(encoder, iter(()))
    assert torch.equal(before, encoder(batch(), SAMPLES).output_BTD)


@pytest.mark.parametrize("repeated", [None, False, True])
@pytest.mark.parametrize("shorter", [4321, 4000, 4480, 1000])
def test_padded_utterance_equals_itself_alone_with_reused_maps_and_fewer_frames(repeated: bool, shorter: int) -> None:
    encoder = Encoder(thin("pre", repeated))
    audio_BS = batch()
    audio_BS[1, shorter:] = 0
    padded = encoder(audio_BS, torch.tensor([9000, shorter]))
    alone = encoder(audio_BS[1:, :shorter], torch.tensor([shorter]))
    frames = int(alone.frames_B)
    assert frames == alone.output_BTD.shape[1] == padded.frames_B[1] == encoder.frames(shorter)
    torch.testing.assert_close(padded.output_BTD[1:, :frames], alone.output_BTD, atol=1e-4, rtol=0)
    for inside, outside in zip(padded.hidden, alone.hidden, strict=True):
        torch.testing.assert_close(inside[1:, :frames], outside, atol=1e-5, rtol=0)


@each_thin
def test_every_parameter_of_a_thin_encoder_gets_a_gradient(config: EncoderConfig) -> None:
    encoder = Encoder(config)
    encoder(batch(), SAMPLES).output_BTD[..., 0].square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [name for name in without if not name.endswith("attention.k.bias")]


@pytest.mark.parametrize("relative_positions", [None, WAVLM])
def test_reusing_block_weighs_its_values_by_the_map_of_the_block_before(
    relative_positions: RelativePositions | None,
) -> None:
    encoder = Encoder(thin(relative_positions=relative_positions))
    maps, read = [], []
    makes = encoder.blocks[0].attention.map
    encoder.blocks[0].attention.map = lambda *given: maps.append(makes(*given)) or maps[-1]
    reuses = encoder.blocks[1].attention
    reuses.register_forward_hook(lambda module, given, y_BTD: read.append((given[0], y_BTD)))
    encoder(batch(), SAMPLES)
    (map_BNTK,), ((x_BTD, y_BTD),) = maps, read
    v_BNTH = reuses.v(x_BTD).unflatten(2, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(y_BTD, reuses.out((map_BNTK @ v_BNTH).transpose(1, 2).flatten(2)))
    torch.testing.assert_close(map_BNTK.sum(-1), torch.ones(map_BNTK.shape[:3]))
    assert {name for name, _ in reuses.named_children()} == {"v", "out"}


@each_thin
def test_map_that_is_reused_then_the_block_that_makes_it_is_as_with_fused_attention(config: EncoderConfig) -> None:
    encoder = Encoder(config)
    own = Encoder(config.model_copy(update={"blocks": config.block_list[:1]}))
    own.load_state_dict({name: x for name, x in encoder.state_dict().items() if not name.startswith("blocks.1.")})
    torch.testing.assert_close(encoder(batch(), SAMPLES).hidden[:2], own(batch(), SAMPLES).hidden, atol=1e-5, rtol=0)


def test_blocks_of_one_map_then_every_other_reuses_it() -> None:
    blocks = {"count": 5, "heads": 2, "head_width": 8, "ffn": 4, "blocks_per_map": 2}
    config = EncoderConfig.model_validate(small().model_dump() | {"blocks": blocks})
    assert [block.reuses_map for block in config.block_list] == [False, True, False, True, False]
    assert not EncoderConfig.model_validate(
        small().model_dump() | {"blocks": blocks | {"blocks_per_map": 1}}
    ).reuses_maps


@pytest.mark.parametrize(
    ("blocks", "fault"),
    [
        ([REUSED[1]], r"blocks\[0\].reuses_map: true; expected false: no block before it has a map"),
        ([REUSED[0], REUSED[1].model_copy(update={"heads": 3})], r"blocks\[1\].heads: 3; expected .* = 2"),
    ],
)
def test_map_that_is_not_there_then_refused(blocks: list[Block], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        thin(blocks=blocks)


def test_last_convolution_narrower_than_the_transformer_then_a_projection_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"front_end\.channels: 8 at the end; expected width = 16"):
        thin(front_end=THIN.model_copy(update={"channels": [8, 8, 8]}))


@pytest.mark.parametrize("repeated", [None, False, True])
def test_exported_graph_of_a_thin_encoder_agrees(repeated: bool | None) -> None:
    assert_exported(thin("pre", repeated))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_exported_graph_agrees_on_other_batches_and_lengths(front_end: str) -> None:
    assert_exported(small(front_end, "pre"))


def assert_exported(config: EncoderConfig) -> None:
    encoder = Encoder(config).eval()
    rows, samples = torch.export.Dim("rows", min=1, max=64), torch.export.Dim("samples", min=2000, max=200_000)
    shapes = ({0: rows, 1: samples}, {0: rows})
    graph = torch.export.export(encoder, (batch(), SAMPLES), dynamic_shapes=shapes, strict=False).module()
    for lengths in (torch.tensor([12_345, 7000, 399]), torch.tensor([2500])):
        audio_BS = speech(len(lengths), int(lengths.max()))
        expected = encoder(audio_BS, lengths)
        exported = graph(audio_BS, lengths)
        torch.testing.assert_close(exported[0], expected.output_BTD, atol=1e-5, rtol=0)
