"""Audio SNIPS as espeak-ng speaks it: a few requests with a slot each, or with none, in a few voices."""

from __future__ import annotations

from pathlib import Path

import soundfile
from scipy.signal import resample_poly

from raysearch.corpora.synthetic.espeak import Voice, speak

REQUESTS = {"PLAY QUEEN": "O artist", "PLAY ABBA": "O artist", "RATE IT FIVE": "O O rating_value", "STOP": "O"}
VOICES = {
    "train": {"Ivy": (40, 150), "Joey": (50, 165), "Salli": (60, 150)},
    "valid": {"Amy": (45, 155)},
    "test": {"Emma": (55, 160)},
}
"""Pitch and speed of each speaker."""


def spoken_requests(root: Path) -> Path:
    """A folder as s3prl's preparation leaves it."""
    lines = []
    for split, voices in VOICES.items():
        (root / split).mkdir(parents=True)
        for name, (pitch, rate) in voices.items():
            speech = speak(Voice("en-us", pitch, rate), [text.lower() for text in REQUESTS])
            for number, (text, labels) in enumerate(REQUESTS.items()):
                key = f"{name}-snips-{split}-{number}"
                audio_S = resample_poly(speech.utterances[number] / 32_768, 320, 441)
                soundfile.write(root / split / f"{key}.wav", audio_S, 16_000)
                lines.append(f"{key} BOS {text} EOS\tO {labels} Intent\n")
    (root / "all.iob.snips.txt").write_text("".join(lines))
    return root
