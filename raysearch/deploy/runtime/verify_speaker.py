"""Says with an exported model whether one person speaks in two recordings.

It needs onnxruntime, numpy and soundfile only. A recording of up to 30 s is heard whole. A longer one is heard in equal
windows of at most 30 s, whose embeddings are averaged.

Shapes: S samples, E width of an embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.deploy.runtime.transcribe import Audio, Layout, OnnxModel, Run, mean_over_windows, read_audio
from raysearch.errors import InputError


def embedding(run: Run, layout: Layout, audio_S: Audio) -> NDArray[np.float32]:
    """The embedding (E) of one recording, scaled to length 1.

    Raises: InputError if the recording is too short to give a frame.
    """
    mean_E = mean_over_windows(run, layout, audio_S)
    # The embeddings of windows may cancel out: nothing is divided by zero.
    scaled_E: NDArray[np.float32] = mean_E / max(float(np.linalg.norm(mean_E)), 1e-12)
    return scaled_E


def verify_speaker(model: Path, one: Path, other: Path, threads: int = 0) -> dict[str, Any]:
    """`{"score", "threshold", "same"}` of two recordings: their cosine, the threshold found on dev, and the verdict.

    Raises: InputError that names the file.
    """
    loaded = OnnxModel(model, threads)
    if loaded.layout.unit != "speaker":
        raise InputError(f"{model}: reads {loaded.layout.unit}; expected a speaker model: see raysearch transcribe")
    sides = []
    for file in (one, other):
        try:
            sides.append(embedding(loaded.run, loaded.layout, read_audio(file)))
        except InputError as err:
            raise InputError(str(err) if str(err).startswith(str(file)) else f"{file}: {err}") from err
    score, threshold = float(sides[0] @ sides[1]), loaded.layout.threshold
    return {"score": score, "threshold": threshold, "same": None if threshold is None else score >= threshold}
