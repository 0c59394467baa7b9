"""What makes a recording unusable although it decodes. Corpora and shipped models ask the same.

A shipped model needs this file, so that it imports NumPy and soundfile alone.

Shapes: S samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

LOUDEST = 16.0
"""Largest sample that is taken for loud speech, of a full scale of 1. Louder ones lie in the range of integers."""
PIPED = 0x7FFFF000
"""Bytes of sound in a WAV header from which on they mean that the length was not known."""


def not_speech(audio_S: np.ndarray) -> str | None:
    """Why these samples cannot be speech in [-1, 1], None if they can: some are no numbers, or in another range."""
    if not np.isfinite(audio_S).all():
        return "samples that are not numbers"
    peak = float(np.abs(audio_S).max(initial=0.0))
    # Resampling takes loud speech a little above 1. Samples that were written from integers lie in the thousands.
    return f"peak {peak:.0f}; expected at most 1" if peak > LOUDEST else None


def cut_off(path: Path) -> str | None:
    """Why a WAV file is not whole: libsndfile reads what is there, and forgets what the header promised.

    Raises: soundfile.LibsndfileError if it is no audio file.
    """
    import soundfile

    header = soundfile.info(path)
    if header.format not in ("WAV", "WAVEX"):
        return None
    with path.open("rb") as file:
        place, content = 12, file.read(4096)
    while (kind := content[place : place + 4]) != b"data":
        if len(kind) < 4:
            return None
        place += 8 + (int.from_bytes(content[place + 4 : place + 8], "little") + 1) // 2 * 2
    promised = int.from_bytes(content[place + 4 : place + 8], "little")
    there = path.stat().st_size - place - 8
    # Programs that write into a pipe do not know the length, and promise as much as a header can.
    if promised >= PIPED or promised <= there:
        return None
    samples = header.frames * promised // max(there, 1)
    return f"header says {samples:,} samples, {header.frames:,} there"
