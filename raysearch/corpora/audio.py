"""Finds out whether audio files can be used. Each is decoded once, and the verdict is kept until the file changes.

A header can be whole while the data behind it are not, so only decoding finds a bad file before training does. One core
decodes about half an hour of FLAC in a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.files.disk import CLOSED
from raysearch.files.recordings import cut_off, not_speech
from raysearch.files.stand_ins import stand_in
from raysearch.files.whole import write_whole

FULL_SCALE = 32_768
CACHE_NAME = "verdicts-3.json"
"""File of verdicts in a folder of ours. It gets a new number when recordings are looked at in another way."""
AAC = (".m4a", ".mp4", ".aac")
"""Suffixes of AAC files, which libsndfile cannot read. VoxCeleb2 is published in this format."""
_SILENT = "silent"


@dataclass(frozen=True)
class Verdict:
    """What decoding a file showed."""

    samples: int
    """Number of samples in the file, as far as it is known."""
    fault: str | None = None
    """Why the file cannot be used. None if it can be."""
    digest: str = ""
    """Hash of the samples, by which equal recordings are found under different names."""

    @property
    def silent(self) -> bool:
        """Whether the file decodes, and nothing is in it but one level."""
        return self.fault is not None and self.fault.startswith(_SILENT)


def decode(file: Path | BinaryIO, start: int = 0, samples: int = -1) -> np.ndarray:
    """`samples` 16-bit samples of a mono file from number `start` on. -1 reads to the end of the file.

    Raises: soundfile.LibsndfileError if the file does not decode.
    """
    return _as_16_bit(_read(file, start, samples))


def decode_speech(file: BinaryIO, start: int, samples: int) -> np.ndarray:
    """As `decode` does, from a file on which there is no verdict yet.

    Raises: ValueError with the reason if the file cannot be used.
    """
    try:
        if fault := _wrong_form(soundfile.info(file)):
            raise ValueError(fault)
        file.seek(0)
        audio_S = _read(file, start, samples)
    except soundfile.LibsndfileError as err:
        raise ValueError(f"does not decode: {err.error_string.rstrip('.')}") from err
    if len(audio_S) < samples:
        raise ValueError("audio ends before the cut does")
    if fault := not_speech(audio_S):
        raise ValueError(fault)
    return _as_16_bit(audio_S)


def _wrong_form(header: soundfile._SoundFileInfo) -> str | None:
    if header.samplerate != SAMPLE_RATE_HZ:
        return f"{header.samplerate} Hz; expected {SAMPLE_RATE_HZ} Hz"
    return f"{header.channels} channels; expected 1" if header.channels != 1 else None


def _read(file: Path | BinaryIO, start: int = 0, samples: int = -1) -> np.ndarray:
    with soundfile.SoundFile(file) as audio:
        if start:  # a seek that is not needed would hide why a file does not decode
            audio.seek(start)
        audio_S: np.ndarray = audio.read(samples, dtype="float32")
    return audio_S


def _as_16_bit(audio_S: np.ndarray) -> np.ndarray:
    # Samples are read as floats, because libsndfile casts float files to integers without scaling them. This loses
    # nothing of 16-bit files.
    np.rint(audio_S * np.float32(FULL_SCALE), out=audio_S)
    return np.clip(audio_S, -FULL_SCALE, FULL_SCALE - 1, out=audio_S).astype(np.int16)


def verdicts_on(paths: Collection[Path], cache: Path | None) -> Mapping[Path, Verdict]:
    """A verdict on each file, from decoding it.

    `cache` is a JSON file that keeps verdicts. One counts as long as its file keeps its size and time of writing.
    """
    known = _load(cache)
    stamps = {path: _stamp(path) for path in paths}
    new = [path for path in paths if known.get(str(path), (None,))[0] != stamps[path]]
    # Threads suffice: libsndfile decodes without holding Python's lock.
    with quiet_decoder(new), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for path, verdict in zip(new, pool.map(_verdict_on, new), strict=True):
            known[str(path)] = (stamps[path], verdict)
    if cache and new:
        _save(cache, known)
    return {path: known[str(path)][1] for path in paths}


@contextmanager
def quiet_decoder(paths: Collection[Path]) -> Iterator[None]:
    """Keeps what libmpg123 says of damaged MP3 files off stderr: its notes name no file, and verdicts say more.

    It writes them past Python. What Python writes meanwhile is still seen.
    """
    if not any(path.suffix.lower() == ".mp3" for path in paths):
        yield
        return
    spoken = sys.stderr
    spoken.flush()
    with os.fdopen(os.dup(2), "w", buffering=1) as aloud, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        # Something else may stand in the place of stderr already, and then the decoder's notes do not go there.
        if spoken is sys.__stderr__:
            sys.stderr = aloud
        try:
            yield
        finally:
            sys.stderr = spoken
            aloud.flush()
            os.dup2(aloud.fileno(), 2)


def _verdict_on(path: Path) -> Verdict:
    try:
        if path.stat().st_size == 0:
            return Verdict(0, "file is empty (0 bytes)")
        header = soundfile.info(path)
        if fault := _wrong_form(header):
            return Verdict(header.frames, fault)
        audio_S = _read(path)
    except soundfile.LibsndfileError as error:
        if path.suffix.lower() in AAC:
            return Verdict(0, "AAC is not read; convert it: ffmpeg -i IN.m4a -ac 1 -ar 16000 OUT.wav")
        # libsndfile says of an MP3 file without any audio that it does not exist.
        reason = "no audio in it" if "does not exist" in error.error_string else error.error_string.rstrip(".")
        return Verdict(0, f"does not decode: {_stand_in(path) or reason}")
    except OSError as error:
        return Verdict(0, f"cannot be read: {error.strerror}")
    if fault := not_speech(audio_S) or cut_off(path):
        return Verdict(len(audio_S), fault)
    audio_S = _as_16_bit(audio_S)
    if not len(audio_S):
        return Verdict(0, "no samples")
    # A microphone that is broken may give another level than zero.
    if (audio_S == audio_S[0]).all():
        level = "zero" if audio_S[0] == 0 else "the same"
        return Verdict(len(audio_S), f"{_SILENT}: every sample is {level}")
    return Verdict(len(audio_S), None, hashlib.md5(audio_S.tobytes(), usedforsecurity=False).hexdigest())


def _stand_in(path: Path) -> str | None:
    with path.open("rb") as file:
        return stand_in(file.read(256))


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        # A missing file has an empty stamp, which differs from that of any file that was there before.
        return []
    return [status.st_size, status.st_mtime_ns]


def _load(cache: Path | None) -> dict[str, tuple[list[int], Verdict]]:
    if not cache or not cache.exists():
        return {}
    try:
        kept = json.loads(cache.read_text())
        return {path: (stamp, Verdict(**verdict)) for path, (stamp, verdict) in kept.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # the cache is torn or of another version: all it costs is to decode again


def _save(cache: Path, known: Mapping[str, tuple[list[int], Verdict]]) -> None:
    kept = {path: [stamp, asdict(verdict)] for path, (stamp, verdict) in known.items()}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cache, json.dumps(kept))
    except OSError as err:
        # A corpus may be looked at where nothing may be written. All it costs is to decode again.
        if err.errno not in CLOSED:
            raise
