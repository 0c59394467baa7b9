"""The layouts that an export can have, by the names that `--layout` takes."""

from __future__ import annotations

from raysearch.deploy.layouts.layout import FileLayout
from raysearch.deploy.layouts.ours import OURS
from raysearch.deploy.layouts.sherpa import SHERPA
from raysearch.deploy.layouts.wav2vec2 import WAV2VEC2

OWN = "raysearch"
LAYOUTS: dict[str, FileLayout] = {OWN: OURS, "sherpa": SHERPA, "onnx-asr": WAV2VEC2}
