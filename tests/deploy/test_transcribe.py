import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.runtime.transcribe import Layout, OnnxModel, log_probs, read_audio, sha256, transcribe
from raysearch.deploy.runtime.transcribe import _main as main
from raysearch.errors import InputError
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.ctc.tokens import Tokens, greedy
from tests.deploy.lacking import HEAVY, raysearch_without, run_without

RATE = 16_000


def write(file: Path, audio: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(file, audio, rate, subtype)
    return file


def noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))


@pytest.mark.parametrize("unit", ["phones", "characters"])
def test_decode_agrees_with_the_tasks_reading(unit) -> None:
    symbols = (" ", "A", "B", "C")
    logits_TV = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    (tokens,) = greedy(torch.from_numpy(logits_TV)[None], torch.tensor([200]))
    assert Layout(unit, symbols, 320, 400, False).decode(logits_TV) == Tokens(unit, symbols).decode(tokens)


def test_onnx_reads_a_corpus_as_the_checkpoint_does(search, exported: Path) -> None:
    model = OnnxModel(exported / "model.onnx", threads=1)
    recogniser = Recogniser.load(exported / "checkpoint")
    checkpoint = recogniser.model()
    corpus = read_corpus(search.spec().corpus, search.store.corpora)
    for cut in corpus.splits["dev"]:
        audio_S = AudioStore().audio(cut)
        log_probs_BTV, frames_B = checkpoint(torch.from_numpy(audio_S)[None], torch.tensor([len(audio_S)]))
        (tokens,) = greedy(log_probs_BTV, frames_B)
        assert model.read(audio_S) == recogniser.head.config.tokens.decode(tokens)


def test_transcribe_needs_no_torch(exported: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", noise(1.0))
    (row,) = json.loads(raysearch_without(HEAVY, "transcribe", exported / "model.onnx", file, "--json"))
    assert row["text"].split() == OnnxModel(exported / "model.onnx").read(read_audio(file))


def test_transcribe_runs_where_only_onnxruntime_and_soundfile_are(exported: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", noise(1.0))
    words = [str(exported / "model.onnx"), str(file)]
    module = "raysearch.deploy.runtime.transcribe"
    code = f"import runpy\nsys.argv[1:] = {words!r}\nrunpy.run_module({module!r}, run_name='__main__')"
    found = run_without("torch typer pydantic yaml rich", code)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == OnnxModel(exported / "model.onnx").read(read_audio(file))
    found = run_without("torch typer pydantic yaml rich", code.replace("a.wav", "b.wav"))
    assert (found.returncode, len(found.stderr.splitlines())) == (2, 1)


def test_windows_lie_on_one_grid() -> None:
    """A stand-in whose frame says which sample it begins with: stitched, no frame may be lost or doubled."""
    hop = 640

    def run(audio_BS, samples_B):
        return audio_BS[:, : samples_B[0] // hop * hop : hop, None], samples_B // hop

    audio_S = np.arange(70 * RATE, dtype=np.float32)
    found_TV = log_probs(run, Layout("phones", (), hop, 400, False), audio_S)
    assert found_TV[:, 0].tolist() == (hop * np.arange(len(audio_S) // hop)).tolist()


def test_windows_agree_with_one_pass_away_from_the_seams(exported: Path) -> None:
    model = OnnxModel(exported / "model.onnx", threads=1)
    audio_S = noise(65.0).astype(np.float32)
    stitched_TV = log_probs(model.run, model.layout, audio_S)
    whole_TV = model.run(audio_S[None], np.array([len(audio_S)]))[0][0]
    assert stitched_TV.shape == whole_TV.shape


@pytest.mark.parametrize(
    ("audio", "rate", "fault"),
    [
        (np.zeros((4800, 2)), 48_000, r"48000 Hz, 2 channels; expected 16000 Hz mono, as from: ffmpeg"),
        (np.zeros((1600, 2)), 16_000, r"16000 Hz, 2 channels; expected 16000 Hz mono"),
        (np.zeros(0), RATE, r"0 samples; expected at least 400"),
        (np.zeros(399), RATE, r"399 samples; expected at least 400"),
    ],
)
def test_unusable_audio_is_named(exported: Path, tmp_path: Path, audio, rate: int, fault: str) -> None:
    file = write(tmp_path / "bad.wav", audio, rate)
    with pytest.raises(InputError, match=rf"bad\.wav: {fault}"):
        transcribe(exported / "model.onnx", [file])


def test_readable_files_are_read_and_the_others_named(exported: Path, tmp_path: Path, capsys) -> None:
    good = write(tmp_path / "good.wav", noise(1.0))
    loud = write(tmp_path / "loud.wav", 3000 * noise(1.0), subtype="FLOAT")
    cut = write(tmp_path / "cut.wav", noise(1.0))
    cut.write_bytes(cut.read_bytes()[:RATE])
    (tmp_path / "folder").mkdir()
    words = [str(exported), *map(str, (good, loud, cut, tmp_path / "none.wav", tmp_path / "folder"))]
    assert main(words) == 2
    said = capsys.readouterr()
    (row,) = transcribe(exported / "model.onnx", [good])
    assert said.out == f"{good}: {row['text']}\n"
    reasons = [line.partition(": ")[2] for line in said.err.splitlines()]
    assert reasons[0].startswith("peak ")
    assert reasons[1].startswith("header says 16,000 samples, 7,978 there; expected")
    assert reasons[2:] == [
        "no such file; expected a file of 16 kHz mono audio",
        "a folder; expected a file of 16 kHz mono audio",
    ]
    with pytest.raises(InputError, match=r"loud\.wav: peak"):
        transcribe(exported, [loud, good])


def test_folder_of_an_export_stands_for_the_model_that_is_shipped(exported: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", noise(1.0))
    assert transcribe(exported, [file]) == transcribe(exported / "model.onnx", [file])
    with pytest.raises(InputError, match="expected an ONNX file or an export's folder"):
        OnnxModel(tmp_path)
    files = {"model.onnx": "0", "model.int8.onnx": sha256(exported / "model.onnx")}
    (tmp_path / "model.int8.onnx").write_bytes((exported / "model.onnx").read_bytes())
    (tmp_path / "export.json").write_text(json.dumps({"files": files, "measured": [{"file": "model.int8.onnx"}]}))
    assert transcribe(tmp_path, [file])[0]["text"] == transcribe(exported, [file])[0]["text"]


@pytest.mark.parametrize("content", [b"", b"not audio"])
def test_file_that_is_no_audio_is_named(exported: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.flac").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.flac: .*; expected 16 kHz mono audio"):
        transcribe(exported / "model.onnx", [tmp_path / "bad.flac"])


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04\x95pickle", b"\x00" * 5000])
def test_file_that_is_no_model_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.onnx: .*; expected (an exported ONNX model|a model exported here)"):
        OnnxModel(tmp_path / "m.onnx")
