"""Turns audio files into text with an exported model. It needs onnxruntime, numpy and soundfile, and never torch.

Where nothing else is installed: `python -m raysearch.deploy.runtime.transcribe MODEL a.wav b.flac`.

Recordings must be 16 kHz mono. Nothing is resampled, since errors were measured on such audio. A recording of up to
30 s is read whole. A longer one is read in windows of 30 s that overlap by 4 s, and each window gives its inner part.
Read whole it would need memory that grows with the square of its length, since the encoder attends to all frames at
once.

Shapes: B recordings, S samples, T frames, V tokens or values of all fields, E width of an embedding.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.files.recordings import cut_off, not_speech

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 30
"""Seconds of the longest recording that is read whole, and of the windows of longer ones."""
OVERLAP_S = 4
"""Seconds that two windows share."""
METADATA_KEY = "raysearch"
MANIFEST_NAME = "export.json"

Audio = NDArray[np.float32]
Run = Callable[[Audio, NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""A model that can be called with `audio_BS` and `samples_B`. It gives log-probabilities of tokens `(B, T, V)` or of
values `(B, V)`, or embeddings `(B, E)`, and the number of valid frames `(B)`."""


@dataclass(frozen=True)
class Layout:
    """What a model's inputs and outputs mean. It is kept in the metadata of the ONNX file."""

    unit: str
    """`phones`, `characters` or `slots` where each frame is read; `fields` where a recording as a whole is read, as its
    label or its intent and slots; `speaker` where a recording gives one embedding of length 1."""
    symbols: tuple[str, ...]
    """Phones, or characters and marks of slots, that the model can emit. Symbol i has token i + 1; token 0 is the blank
    of CTC."""
    hop_samples: int
    """Samples from one frame to the next."""
    min_samples: int
    """Samples of the shortest recording that can be read."""
    equal_lengths: bool
    """Whether the recordings of one batch must be equally long."""
    threshold: float | None = None
    """Cosine from which a speaker model takes two recordings to be of one person: there dev has as many misses as false
    acceptances. None where it is not known, and for other models."""
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values of each field, in the order of the outputs. An empty value says that a slot is absent."""

    def values(self, log_probs_V: NDArray[np.float32]) -> dict[str, str]:
        """The most probable value of each field."""
        ends = np.cumsum([len(values) for values in self.fields.values()])
        parts = np.split(log_probs_V, ends[:-1])
        return {
            name: values[int(part.argmax())] for (name, values), part in zip(self.fields.items(), parts, strict=True)
        }

    def decode(self, log_probs_TV: NDArray[np.float32]) -> list[str]:
        """Phones or words, as the symbols spell them."""
        return self.items(self.spell(log_probs_TV))

    def spell(self, log_probs_TV: NDArray[np.float32]) -> list[str]:
        """Symbols: those of the most probable token of each frame, with repeats merged and blanks dropped."""
        best_T = log_probs_TV.argmax(-1)
        starts = np.flatnonzero(np.diff(best_T, prepend=-1))
        return [self.symbols[token - 1] for token in best_T[starts] if token]

    def items(self, symbols: Sequence[str]) -> list[str]:
        """Phones or words that these symbols spell."""
        return list(symbols) if self.unit == "phones" else "".join(symbols).split()


class OnnxModel:
    """An exported ONNX model, loaded and ready to run. `place` is its file, or the folder of its export.

    Raises: InputError if the file is missing, damaged, changed since its export, or not written by raysearch.
    """

    def __init__(self, place: Path, threads: int = 0) -> None:
        """`threads`: CPU threads to use; 0 leaves the number to onnxruntime."""
        import onnxruntime

        file = _shipped(place) if place.is_dir() else place
        if not file.is_file():
            raise InputError(f"{file}: no such file; expected an exported ONNX model")
        _check_digest(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only: warnings would land on stderr, which is for the user
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # onnxruntime's own errors share no other base
            raise InputError(f"{file}: {_one_line(err)}; expected an exported ONNX model") from err
        self.layout = _layout(self._session.get_modelmeta().custom_metadata_map, file)

    def run(self, audio_BS: Audio, samples_B: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The model's outputs for a batch, as `Run` describes them."""
        outputs, frames_B = self._session.run(None, {"audio": audio_BS, "samples": samples_B})
        return outputs, frames_B

    def read(self, audio_S: Audio) -> list[str]:
        """What one recording of any length says: phones, words, its label, or `name=value` of each field that is there.

        Raises: InputError if it is too short to give a frame.
        """
        if self.layout.unit != "fields":
            return self.layout.decode(log_probs(self.run, self.layout, audio_S))
        values = self.layout.values(mean_over_windows(self.run, self.layout, audio_S))
        if len(values) == 1:
            return list(values.values())
        return [f"{name}={value}" for name, value in values.items() if value]


def log_probs(run: Run, layout: Layout, audio_S: Audio) -> NDArray[np.float32]:
    """Log-probabilities `(T, V)` of one recording, which is read whole, or in windows that are stitched together.

    Raises: InputError if it is too short to give a frame.
    """
    if len(audio_S) < layout.min_samples:
        raise InputError(f"{len(audio_S)} samples; expected at least {layout.min_samples}")
    if len(audio_S) <= WINDOW_S * SAMPLE_RATE_HZ:
        return _one(run, audio_S)
    # Windows begin on whole frames, so that the frames of all windows lie on one grid.
    step, margin = (s * SAMPLE_RATE_HZ // layout.hop_samples for s in (WINDOW_S - OVERLAP_S, OVERLAP_S // 2))
    parts = []
    for first in range(0, len(audio_S) // layout.hop_samples, step):
        begin = first * layout.hop_samples
        window_TV = _one(run, audio_S[begin : begin + WINDOW_S * SAMPLE_RATE_HZ])
        last = begin + WINDOW_S * SAMPLE_RATE_HZ >= len(audio_S)
        parts.append(window_TV[margin if first else 0 : None if last else margin + step])
        if last:
            break
    return np.concatenate(parts)


def mean_over_windows(run: Run, layout: Layout, audio_S: Audio) -> NDArray[np.float32]:
    """The output `(E)` or `(V)` of one recording, which is read whole, or as the mean over windows of at most 30 s.

    Raises: InputError if it is too short to give a frame.
    """
    if len(audio_S) < layout.min_samples:
        raise InputError(f"{len(audio_S)} samples; expected at least {layout.min_samples}")
    # Windows are equally long, since a short last one would count as much as the others.
    windows = np.array_split(audio_S, -(-len(audio_S) // (WINDOW_S * SAMPLE_RATE_HZ)))
    mean: NDArray[np.float32] = np.mean([_one(run, window_S) for window_S in windows], axis=0)
    return mean


def read_audio(file: Path) -> Audio:
    """The samples of an audio file, in [-1, 1].

    Raises: InputError unless it is 16 kHz mono audio that decodes, whole and in that range.
    """
    import soundfile

    if not file.is_file():
        what = "a folder" if file.is_dir() else "no such file"
        raise InputError(f"{file}: {what}; expected a file of 16 kHz mono audio")
    try:
        audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as err:
        raise InputError(f"{file}: {_one_line(err)}; expected 16 kHz mono audio") from err
    channels = audio.shape[1]
    if rate != SAMPLE_RATE_HZ or channels != 1:
        convert = f"ffmpeg -i {file.name} -ar {SAMPLE_RATE_HZ} -ac 1 {file.stem}-16k.wav"
        raise InputError(
            f"{file}: {rate} Hz, {channels} channels; expected {SAMPLE_RATE_HZ} Hz mono, as from: {convert}"
        )
    samples_S: Audio = audio[:, 0]
    if fault := not_speech(samples_S) or cut_off(file):
        raise InputError(f"{file}: {fault}{'' if 'expected' in fault else '; expected 16 kHz mono audio'}")
    return samples_S


def transcribe(
    model: Path, files: Sequence[Path], threads: int = 0, unreadable: Callable[[InputError], None] | None = None
) -> list[dict[str, Any]]:
    """One `{"file", "text", "seconds", "whole"}` for each file. `whole` is false if it was read in windows.

    Raises: InputError that names the first file which cannot be read. Where `unreadable` is given, it hears of each of
    them instead, and all others are read.
    """
    recogniser = OnnxModel(model, threads)
    if recogniser.layout.unit == "speaker":
        raise InputError(f"{model}: tells speakers apart; expected a model that reads: see raysearch verify-speaker")
    rows = []
    for file in files:
        try:
            rows.append(_row(recogniser, file))
        except InputError as err:
            if unreadable is None:
                raise
            unreadable(err)
    return rows


def transcript(rows: Sequence[Mapping[str, Any]], *, several: bool) -> str:
    """The rows as text: of `several` files a line for each, of a single one its text alone."""
    return "\n".join(f"{row['file']}: {row['text']}" if several else row["text"] for row in rows)


def _row(recogniser: OnnxModel, file: Path) -> dict[str, Any]:
    audio_S = read_audio(file)
    try:
        items = recogniser.read(audio_S)
    except InputError as err:
        raise InputError(f"{file}: {err}") from err
    seconds = len(audio_S) / SAMPLE_RATE_HZ
    return {"file": str(file), "text": " ".join(items), "seconds": seconds, "whole": seconds <= WINDOW_S}


def _one(run: Run, audio_S: Audio) -> NDArray[np.float32]:
    outputs, _ = run(np.ascontiguousarray(audio_S[None]), np.array([len(audio_S)], dtype=np.int64))
    return outputs[0]


def _shipped(export: Path) -> Path:
    """The model of an export's folder that is shipped: the first one that was measured, or else the fp32 one."""
    manifest = export / MANIFEST_NAME
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        measured = [one["file"] for one in found.get("measured", ())]
        models = [name for name in (*measured, "model.onnx", *found["files"]) if name.endswith(".onnx")]
        (name, *_) = [name for name in models if name in found["files"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise InputError(f"{export}: no ONNX model of an export; expected an ONNX file or an export's folder") from err
    return export / str(name)


def _check_digest(file: Path) -> None:
    """Checks a model that lies beside its manifest: it must be the one that was exported."""
    manifest = file.with_name(MANIFEST_NAME)
    if not manifest.exists():
        return
    try:
        expected = json.loads(manifest.read_text(encoding="utf-8"))["files"][file.name]
    except (ValueError, KeyError, TypeError) as err:
        raise InputError(f"{manifest}: no entry for {file.name}; expected the manifest of this export") from err
    check_content(file, expected)


def check_content(file: Path, expected: str) -> None:
    """Raises: InputError unless the file's sha256 is the one that the manifest of its export has."""
    got = sha256(file)
    if got != expected:
        raise InputError(f"{file}: sha256 {got[:12]}...; expected {expected[:12]}..., as {MANIFEST_NAME} says")


def sha256(file: Path) -> str:
    """All 64 hexadecimal digits of the sha256 of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _layout(metadata: dict[str, str], file: Path) -> Layout:
    try:
        found = json.loads(metadata[METADATA_KEY])
        return Layout(**{**found, "symbols": tuple(found["symbols"])})
    except (KeyError, ValueError, TypeError) as err:
        raise InputError(
            f"{file}: metadata {METADATA_KEY}: missing or unknown; expected a model exported here"
        ) from err


def _one_line(err: Exception) -> str:
    return " ".join(str(err).split())[:200]


def _main(words: list[str]) -> int:
    """The verb `transcribe`, for an environment that holds too little for the command line. Returns the exit code."""
    faults: list[InputError] = []
    try:
        if len(words) < 2:
            raise InputError(f"{len(words)} arguments; expected a model and audio files")
        if rows := transcribe(Path(words[0]), [Path(word) for word in words[1:]], unreadable=faults.append):
            print(transcript(rows, several=len(words) > 2), flush=True)
    except InputError as err:
        faults = [err]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
