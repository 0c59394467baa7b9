"""Files for other people's runtimes: they read there what the checkpoint reads, or are refused in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from raysearch.deploy.layouts import wav2vec2
from raysearch.deploy.layouts.layout import Order, token_lines
from raysearch.deploy.layouts.table import LAYOUTS
from raysearch.encoder.config import FrontEnd, LogMel, Waveform, Whisper
from raysearch.errors import InputError
from raysearch.exported.measure import hearing
from raysearch.exported.onnx_file import layout, onnx_name
from raysearch.exported.runners import run_checkpoint
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.methods.settings import StudentSettings
from tests.deploy.lacking import run_without
from tests.deploy.toys import reader, recordings, speaker_model

BINS = {"channels": [8, 8]}
SAMPLES = {"channels": [8] * 7, "norm": "layer"}
PHONES = ["AA", "B", "SIL", "ZH"]
LETTERS = [" ", "'", "a", "b"]
HEARD = recordings(1_600, 12_345, 16_077, 80_000)
KNOWS_WAV2VEC2 = find_spec("onnx_asr.models.wav2vec2") is not None


def written(name: str, recogniser: Recogniser, folder: Path, precision: Precision = "fp32") -> Path:
    torch.set_num_threads(1)
    LAYOUTS[name].check_order(recogniser, ["onnx"], [precision], name)
    LAYOUTS[name].write(Order(recogniser, folder, ["onnx"], [precision], lambda line: None))
    return folder / onnx_name(precision)


@pytest.mark.parametrize(
    ("front_end", "symbols", "unit"),
    [
        (LogMel(**BINS), PHONES, "phones"),
        pytest.param(LogMel(**BINS, centred=True, range_db=40.0), LETTERS, "characters", marks=pytest.mark.slow),
        (Waveform(**SAMPLES, normalise=True), LETTERS, "characters"),
    ],
)
def test_sherpa_reads_what_the_checkpoint_reads(front_end: FrontEnd, symbols, unit: str, tmp_path: Path) -> None:
    recogniser = reader(front_end, symbols, unit)
    hear = LAYOUTS["sherpa"].hear(written("sherpa", recogniser, tmp_path), recogniser)
    expected = hearing(run_checkpoint(recogniser), layout(recogniser))
    read = [hear(audio_S) for audio_S in HEARD]
    assert read == [expected(audio_S) for audio_S in HEARD]
    assert {" ", "SIL"} & {symbol for symbols in read for symbol in symbols}, "what a runtime may take for silence"


def test_sherpa_runs_int8(tmp_path: Path) -> None:
    recogniser = reader(LogMel(**BINS), PHONES)
    hear = LAYOUTS["sherpa"].hear(written("sherpa", recogniser, tmp_path, "int8"), recogniser)
    ops = {node.op_type for node in onnx.load(tmp_path / "model.int8.onnx").graph.node}
    assert "MatMulInteger" in ops
    assert hear(HEARD[-1])


def test_sherpa_embeds_what_the_checkpoint_embeds(tmp_path: Path) -> None:
    recogniser = speaker_model(LogMel(**BINS, highest_hz=7_600.0, mirrored=True))
    hear = LAYOUTS["sherpa"].hear(written("sherpa", recogniser, tmp_path), recogniser)
    expected = hearing(run_checkpoint(recogniser), layout(recogniser))
    for audio_S in HEARD:
        np.testing.assert_allclose(hear(audio_S), expected(audio_S), atol=1e-4)
    assert not (tmp_path / "tokens.txt").exists()


@pytest.mark.parametrize("name", ["wespeaker-25hz", "waveform-scaled"])
def test_front_ends_that_are_named_after_sherpa_are_what_it_computes(name: str) -> None:
    front_end = StudentSettings(front_end=name, channels=8).encoder().front_end
    recogniser = reader(front_end, PHONES) if name == "waveform-scaled" else speaker_model(front_end)
    LAYOUTS["sherpa"].check(recogniser)


@pytest.mark.parametrize(
    ("made", "front_end", "fault"),
    [
        (reader, LogMel(**BINS, bins=40), r"front_end\.bins: 40; expected 80, which is what sherpa-onnx computes"),
        (reader, LogMel(**BINS, mirrored=True), r"front_end\.mirrored: True; expected False, .*logmel-25hz"),
        (reader, Waveform(**SAMPLES), r"front_end\.normalise: False; expected True, .*waveform-scaled"),
        (reader, Whisper(channels=[8, 16]), "--layout: sherpa: ctc over whisper; expected one of ctc over logmel, "),
        (speaker_model, LogMel(**BINS), r"front_end\.highest_hz: 8000\.0; expected 7600, .*wespeaker-25hz"),
        (speaker_model, Waveform(**SAMPLES), "--layout: sherpa: speaker over waveform; expected one of"),
    ],
)
def test_what_sherpa_cannot_express_is_refused(made: Callable, front_end: FrontEnd, fault: str) -> None:
    recogniser = made(front_end) if made is speaker_model else made(front_end, PHONES)
    with pytest.raises(InputError, match=fault):
        LAYOUTS["sherpa"].check_order(recogniser, ["onnx"], ["fp32"], "sherpa")


@pytest.mark.parametrize("symbol", ["</s>", "a b", "▁a", ""])
def test_symbol_that_a_file_of_tokens_cannot_hold_is_refused(symbol: str) -> None:
    meaning = layout(reader(LogMel(**BINS), ["AA", symbol]))
    with pytest.raises(InputError, match=r"symbols: .*; expected none that a file of tokens cannot hold"):
        token_lines(meaning)


def test_speaker_model_is_refused_by_onnx_asr() -> None:
    with pytest.raises(InputError, match="kind: speaker; expected ctc with --layout onnx-asr"):
        LAYOUTS["onnx-asr"].check(speaker_model(LogMel(**BINS)))


def test_other_formats_are_refused() -> None:
    with pytest.raises(InputError, match="--format: pt2; expected onnx with --layout sherpa"):
        LAYOUTS["sherpa"].check_order(reader(LogMel(**BINS), PHONES), ["pt2"], [], "sherpa")


@pytest.mark.parametrize("front_end", [LogMel(**BINS), pytest.param(Waveform(**SAMPLES), marks=pytest.mark.slow)])
def test_onnx_asr_is_given_log_probabilities_of_every_front_end(front_end: FrontEnd, tmp_path: Path) -> None:
    """What onnx-asr does with a file of its layout is small: it is done here, since no release does it yet."""
    recogniser = reader(front_end, PHONES)
    session = onnxruntime.InferenceSession(written("onnx-asr", recogniser, tmp_path))
    lines = [line.split(" ") for line in (tmp_path / "vocab.txt").read_text().splitlines()]
    names = {int(token): name for name, token in lines}
    assert names == {0: "<blk>", 1: "▁AA", 2: "▁B", 3: "▁SIL", 4: "▁ZH"}
    longest = max(map(len, HEARD))
    audio_BS = np.stack([np.pad(audio_S, (0, longest - len(audio_S))) for audio_S in HEARD])
    samples_B = np.array([len(audio_S) for audio_S in HEARD])
    (log_probs_BTV,) = session.run(["logprobs"], {"input_values": audio_BS, "input_lengths": samples_B})
    config = json.loads((tmp_path / "config.json").read_text())
    counted_B = samples_B // config["subsampling_factor"] + 1
    expected = hearing(run_checkpoint(recogniser), layout(recogniser))
    assert config["model_type"] == "wav2vec2-ctc"
    for audio_S, log_probs_TV, frames in zip(HEARD, log_probs_BTV, counted_B, strict=True):
        best_T = log_probs_TV[:frames].argmax(-1)
        merged = [token for token, last in zip(best_T, [-1, *best_T[:-1]], strict=True) if token not in (0, last)]
        assert [names[token][1:] for token in merged] == expected(audio_S)


@pytest.mark.skipif(not KNOWS_WAV2VEC2, reason="onnx-asr has no wav2vec2-ctc up to release 0.12.0")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnx_asr_reads_what_the_checkpoint_reads(precision: Precision, tmp_path: Path) -> None:
    recogniser = reader(LogMel(**BINS), LETTERS, "characters")
    hear = wav2vec2.hear(written("onnx-asr", recogniser, tmp_path, precision), recogniser)
    expected = hearing(run_checkpoint(recogniser), layout(recogniser))
    read = [hear(audio_S) for audio_S in HEARD]
    assert all(read)
    assert precision == "int8" or read == [expected(audio_S) for audio_S in HEARD]


@pytest.mark.skipif(KNOWS_WAV2VEC2, reason="onnx-asr knows wav2vec2-ctc")
def test_onnx_asr_that_is_too_old_is_said_in_a_line(tmp_path: Path) -> None:
    recogniser = reader(LogMel(**BINS), PHONES)
    with pytest.raises(InputError, match=r"onnx-asr: .*; expected one with wav2vec2-ctc: pip install git\+https"):
        wav2vec2.hear(tmp_path / "model.onnx", recogniser)


@pytest.mark.parametrize(("name", "module"), [("sherpa", "sherpa_onnx"), ("onnx-asr", "onnx_asr")])
def test_runtime_that_is_not_installed_is_said_in_a_line(name: str, module: str) -> None:
    code = (
        "from pathlib import Path\n"
        "from raysearch.deploy.layouts.table import LAYOUTS\n"
        "from raysearch.encoder.config import LogMel\n"
        "from tests.deploy.toys import reader\n"
        f"LAYOUTS[{name!r}].hear(Path('model.onnx'), reader(LogMel(channels=[8, 8]), ['AA']))"
    )
    found = run_without(module, code, Path(__file__).parents[2])
    assert re.search(r"InputError: \S+: not installed; expected it to run the export: pip install \S+$", found.stderr)


def test_tokens_are_words_apart_for_phones_and_blanks_are_marked_for_letters() -> None:
    phones, letters = (layout(reader(LogMel(**BINS), *given)) for given in ((PHONES,), (LETTERS, "characters")))
    assert token_lines(phones) == "<blk> 0\n▁AA 1\n▁B 2\n▁SIL 3\n▁ZH 4\n"
    assert token_lines(letters) == "<blk> 0\n▁ 1\n' 2\na 3\nb 4\n"


@pytest.mark.parametrize(
    ("name", "file", "call"),
    [
        ("raysearch", "model.int8.onnx", 'transcribe("model.int8.onnx"'),
        ("raysearch", "checkpoint", 'load_encoder("checkpoint")'),
        ("sherpa", "model.int8.onnx", 'from_fire_red_asr_ctc(model="model.int8.onnx", tokens="tokens.txt")'),
        ("onnx-asr", "model.onnx", 'load_model("wav2vec2-ctc", ".")'),
        ("onnx-asr", "model.int8.onnx", 'load_model("wav2vec2-ctc", ".", quantization="int8")'),
    ],
)
def test_readme_loads_the_file_that_is_there(name: str, file: str, call: str) -> None:
    usage = LAYOUTS[name].usage(reader(LogMel(**BINS), PHONES), file)
    assert call in usage
    compile(usage, "README.md", "exec")
