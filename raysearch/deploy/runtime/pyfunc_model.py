"""The registered model as MLflow loads it: from code, not from a pickle.

It needs mlflow, numpy, pandas and onnxruntime, and not torch. The input is `audio`, float32 (recordings, samples) at
16 kHz in [-1, 1], and `samples`, int64 (recordings), which says how much of each row is audio. The output is
one text for each recording: phones or words with spaces between them, a label, or slots as `name=value`. Of a speaker
model it is an embedding of length 1 for each recording.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from raysearch.deploy.runtime.transcribe import OnnxModel
from raysearch.deploy.runtime.verify_speaker import embedding


class RegisteredModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The exported ONNX model behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        self._model = OnnxModel(Path(context.artifacts["model"]))

    # Without type hints, since MLflow would read them as a schema beside the signature that it was given.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        rows = zip(model_input["audio"], model_input["samples"], strict=True)
        # One by one: a recording then gets the same answer whatever else is in the request.
        recordings = [np.asarray(row, np.float32)[: int(count)] for row, count in rows]
        if self._model.layout.unit == "speaker":
            heard = [embedding(self._model.run, self._model.layout, audio_S) for audio_S in recordings]
            return pd.DataFrame({"embedding": [x_E.tolist() for x_E in heard]})
        return pd.DataFrame({"text": [" ".join(self._model.read(audio_S)) for audio_S in recordings]})


mlflow.models.set_model(RegisteredModel())
