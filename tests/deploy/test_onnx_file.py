"""A model whose first layer has a GroupNorm, as a file: padding changes nothing, in half precision neither."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from raysearch.deploy import export
from raysearch.deploy.runtime.transcribe import OnnxModel
from raysearch.encoder.config import Block, EncoderConfig, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.gates import GateSet
from raysearch.encoder.slicing import slice_encoder
from raysearch.encoder.supernet.shared_weights import slice_out
from raysearch.encoder.supernet.sorting import sort_units
from raysearch.encoder.supernet.sub_network import SubNetwork
from raysearch.errors import InputError
from raysearch.exported.onnx_cost import graph_macs
from raysearch.exported.onnx_file import layout, to_onnx, trace, write_onnx
from raysearch.exported.runners import run_checkpoint
from raysearch.exported.settings import DeploySettings
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.ctc.recognition import logits
from raysearch.tasks.ctc.tokens import CtcHead
from raysearch.tasks.head import ChosenHead, CtcHeadConfig
from raysearch.tasks.settings import AsrSettings
from tests.encoder.small_encoders import small


def kept(head: CtcHead) -> ChosenHead:
    layers, width = len(head.mix_L), head.weight_VD.shape[1]
    return ChosenHead(CtcHeadConfig(unit="phones", symbols=list("abcdef"), layers=layers, width=width), head, None)


def test_waveform_model_with_group_norm_as_a_file_then_it_reads_quiet_recordings_together_as_alone(
    tmp_path: Path,
) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = EncoderConfig(
        front_end=Waveform(channels=[8] * 7),
        width=16,
        position_conv=PositionConv(kernel=6, groups=4),
        blocks=[Block(heads=2, head_width=8, ffn=24)],
    )
    head = CtcHead(2, 16, 7)
    nn.init.normal_(head.weight_VD)
    recogniser = Recogniser(Encoder(config).eval(), kept(head))
    assert not layout(recogniser).equal_lengths
    # Half precision knows nothing of the variance of so quiet a recording.
    audio_BS = 1e-3 * np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32)
    samples_B = np.array([16_000, 9_321])
    audio_BS[1, samples_B[1] :] = 0
    run = run_checkpoint(recogniser)
    alone = [run(audio_BS[i : i + 1, :n], samples_B[i : i + 1])[0][0] for i, n in enumerate(samples_B)]
    model = to_onnx(trace(recogniser))
    for precision, limit in (("fp32", 1e-4), ("fp16", 0.05)):
        write_onnx(model, layout(recogniser), precision, tmp_path / f"{precision}.onnx")
        together_BTV, frames_B = OnnxModel(tmp_path / f"{precision}.onnx").run(audio_BS, samples_B)
        for found_TV, count, expected_TV in zip(together_BTV, frames_B, alone, strict=True):
            np.testing.assert_allclose(found_TV[:count], expected_TV, atol=limit, rtol=0)


def whisper(what: str) -> Encoder:
    """A small encoder as Whisper's, what is left of one after units were sliced off, or a sub-network of one."""
    torch.manual_seed(0)
    encoder = Encoder(small("whisper", "pre"))
    if what == "whole":
        return encoder.eval()
    if what == "sub-network":
        sub = SubNetwork(blocks=(1,), width=10, heads=(2,), ffn=(7,), channels=(5,))
        return slice_out(sort_units(encoder), sub).eval()
    gates = GateSet(encoder.config, drop=0.4, ffn_drop=0.4)
    values = gates.values()
    assert not all(z_U.all() for z_U in (*values.channels, *values.heads, *values.ffn))
    smaller, _ = slice_encoder(encoder, values)
    return smaller.eval()


@pytest.mark.parametrize(
    "what",
    [pytest.param("whole", marks=pytest.mark.slow), pytest.param("sliced", marks=pytest.mark.slow), "sub-network"],
)
def test_whisper_as_a_file_then_it_gives_what_torch_gives_at_any_length(what: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    encoder = whisper(what)
    head = CtcHead(encoder.config.depth + 1, encoder.config.width, 7)
    nn.init.normal_(head.weight_VD)
    recogniser = Recogniser(encoder, kept(head))
    model = to_onnx(trace(recogniser))
    assert {"DFT", "IsNaN"}.isdisjoint(node.op_type for node in model.graph.node), "onnxruntime is slow at them"
    write_onnx(model, layout(recogniser), "fp32", tmp_path / "model.onnx")
    file, run = OnnxModel(tmp_path / "model.onnx"), run_checkpoint(recogniser)
    rng = np.random.default_rng(0)
    for lengths in ([400], [16_000], [23_457, 7_001]):
        # A tone over noise that is 80 dB softer: most bins are nearly empty, and tell how each runtime rounds.
        tone_S = np.sin(2 * np.pi * 440 / 16_000 * np.arange(max(lengths)))
        noise_BS = 1e-4 * rng.standard_normal((len(lengths), max(lengths)))
        audio_BS = (0.5 * tone_S + noise_BS).astype(np.float32)
        samples_B = np.array(lengths)
        together_BTV, frames_B = file.run(audio_BS, samples_B)
        for row, samples in enumerate(lengths):
            expected_TV = run(audio_BS[row : row + 1, :samples], samples_B[row : row + 1])[0][0]
            np.testing.assert_allclose(together_BTV[row][: frames_B[row]], expected_TV, atol=1e-4, rtol=0)


def superb(unit: str, encoder: Encoder) -> Recogniser:
    layers, width = encoder.config.depth + 1, encoder.config.width
    config = CtcHeadConfig(unit=unit, symbols=list("abcdef"), units=12, layers=layers, width=width)
    head = config.build().eval()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return Recogniser(encoder, ChosenHead(config, head, None))


@pytest.mark.parametrize(
    "unit",
    ["characters", pytest.param("phones", marks=pytest.mark.slow), pytest.param("slots", marks=pytest.mark.slow)],
)
def test_head_of_superb_as_a_file_then_it_reads_recordings_together_as_alone(unit: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = Encoder(small()).eval()
    recogniser = superb(unit, encoder)
    model = to_onnx(trace(recogniser))
    rng = np.random.default_rng(0)
    audio_BS = 0.1 * rng.standard_normal((2, 23_457)).astype(np.float32)
    samples_B = np.array([23_457, 7_001])
    for precision, most in (("fp32", 1e-4), ("fp16", 0.1), ("int8", 1.0)):
        write_onnx(model, layout(recogniser), precision, tmp_path / "model.onnx")
        log_probs_BTV, frames_B = OnnxModel(tmp_path / "model.onnx").run(audio_BS, samples_B)
        for row, samples in enumerate(samples_B):
            with torch.no_grad():
                encoded = encoder(torch.from_numpy(audio_BS[row : row + 1, :samples]), torch.tensor([samples]))
                x_LTD = encoded.normalised_LBTD[:, 0]
                expected_TV = logits(recogniser.head.module, x_LTD, [x_LTD.shape[1]]).log_softmax(-1).numpy()
            np.testing.assert_allclose(log_probs_BTV[row][: frames_B[row]], expected_TV, atol=most, rtol=0)
    assert graph_macs(model, 16_000).head == recogniser.head.config.superb.macs([frames(encoder.config, 16_000)])
    assert recogniser.recurrent == (unit != "phones")


def test_traced_program_of_a_recurrent_head_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser = superb("characters", Encoder(small()).eval())
    monkeypatch.setattr(export, "_task", lambda folder, asked: AsrSettings(head="superb"))
    monkeypatch.setattr(export, "find_trial", lambda folder, number: SimpleNamespace(number=number, config={}))
    monkeypatch.setattr(Recogniser, "of_trial", lambda trial, task: recogniser)
    folder = SimpleNamespace(
        trial=lambda number: tmp_path, spec=lambda: SimpleNamespace(deploy_of=lambda config: DeploySettings())
    )
    with pytest.raises(InputError, match="--format: pt2; expected onnx or safetensors"):
        export.export_trial(folder, 0, tmp_path / "out", formats=("onnx", "pt2"), precisions=["fp32"])
    assert not (tmp_path / "out").exists()
