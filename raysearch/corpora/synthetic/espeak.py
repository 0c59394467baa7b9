"""Speaks texts with espeak-ng, through the library that `espeakng_loader` ships.

The library keeps global state: its voices drift with all that was said before, even after it is initialised anew. So
each speaker gets a process of its own (`python -m raysearch.corpora.synthetic.espeak`), which says the same for the
same request. It reads JSON from stdin and writes an `.npz` file to stdout.
"""

from __future__ import annotations

import ctypes
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raysearch.errors import InputError, WorkError

# Numbers from espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2  # samples go to the callback, and no sound device is opened
_RATE, _VOLUME, _PITCH = 1, 2, 3
_UTF8 = 1
_SEPARATE_PHONEMES = ord("_") << 8


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker."""

    name: str
    """Name of the espeak-ng voice, `language+variant`."""
    pitch: int
    """Pitch from 0 to 99. espeak-ng's default is 50."""
    rate: int
    """Speed in words a minute."""


@dataclass(frozen=True)
class Speech:
    """Texts, spoken by one voice."""

    rate_hz: int
    utterances: list[np.ndarray]
    """The 16-bit samples of each text."""
    phonemes: Mapping[str, list[str]]
    """Phonemes of each word, without stress, in the mnemonics of espeak-ng."""


def speak(voice: Voice, texts: Sequence[str]) -> Speech:
    """The texts, spoken by that voice. The same voice and texts give the same samples.

    Raises: InputError if espeakng_loader is not installed, WorkError if espeak-ng fails.
    """
    if not importlib.util.find_spec("espeakng_loader"):
        raise InputError("corpus.kind: synthetic: espeakng_loader is missing; expected `pip install raysearch[synth]`")
    request = json.dumps({"voice": asdict(voice), "texts": list(texts)}).encode()
    done = subprocess.run(
        [sys.executable, "-m", "raysearch.corpora.synthetic.espeak"],
        input=request,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise WorkError(f"espeak-ng, voice {voice.name}: exit {done.returncode}: {last[0]}")
    answer = np.load(io.BytesIO(done.stdout))
    words = json.loads(str(answer["phonemes"]))
    return Speech(int(answer["rate_hz"]), [answer[f"text{n}"] for n in range(len(texts))], words)


class _Library:
    """The shared library, initialised for one voice."""

    def __init__(self, voice: Voice) -> None:
        import espeakng_loader

        self._c = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate_hz = self._c.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        _check(self.rate_hz > 0, "espeak_Initialize")
        self._chunks: list[np.ndarray] = []
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        # The library keeps only a pointer: Python must hold the callback alive.
        self._callback = signature(self._collect)
        self._c.espeak_SetSynthCallback(self._callback)
        self._c.espeak_TextToPhonemes.restype = ctypes.c_char_p
        _check(self._c.espeak_SetVoiceByName(voice.name.encode()) == 0, f"espeak_SetVoiceByName({voice.name})")
        # Breathy voices draw noise from a generator that espeak-ng otherwise seeds with the time.
        self._c.espeak_ng_SetRandSeed(ctypes.c_long(0))
        # The volume is halved, because at full volume some voices clip inside espeak-ng.
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_VOLUME, 50)):
            self._c.espeak_SetParameter(parameter, value, 0)

    def say(self, text: str) -> np.ndarray:
        self._chunks.clear()
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        _check(self._c.espeak_Synth(data, size, 0, 1, 0, _UTF8, None, None) == 0, "espeak_Synth")
        return np.concatenate(self._chunks)

    def pronounce(self, word: str) -> list[str]:
        text = ctypes.c_char_p(word.encode())
        found = self._c.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, _SEPARATE_PHONEMES).decode()
        return [mnemonic.lstrip("',%=|") for mnemonic in found.split("_")]

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def _check(good: bool, call: str) -> None:
    if not good:
        raise WorkError(f"{call} failed")


def _main() -> None:
    request = json.load(sys.stdin)
    library = _Library(Voice(**request["voice"]))
    texts = request["texts"]
    said: dict[str, Any] = {f"text{number}": library.say(text) for number, text in enumerate(texts)}
    words = sorted({word for text in texts for word in text.split()})
    phonemes = json.dumps({word: library.pronounce(word) for word in words})
    answer = io.BytesIO()
    np.savez(answer, rate_hz=library.rate_hz, phonemes=phonemes, **said)
    sys.stdout.buffer.write(answer.getvalue())


if __name__ == "__main__":
    _main()
