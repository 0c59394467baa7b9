"""The registered model, as MLflow loads it: code, not a pickle. Needs mlflow, numpy and onnxruntime only.

Input `audio`, float32 (recordings, samples) at 16 kHz in [-1, 1], and `samples`, int64 (recordings): how many samples
of each row are audio. Output: one text a recording, phones or words with spaces between them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from raysearch.deploy.transcribe import OnnxModel


class RegisteredModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def load_context(self, context: Any) -> None:
        self._model = OnnxModel(Path(context.artifacts["model"]))

    # Without type hints: MLflow would read them as a schema, beside the signature that it was given.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        rows = zip(model_input["audio"], model_input["samples"], strict=True)
        # One by one: a recording then gets the same text whatever else is in the request.
        texts = [" ".join(self._model.read(np.asarray(row, np.float32)[: int(count)])) for row, count in rows]
        return pd.DataFrame({"text": texts})


mlflow.models.set_model(RegisteredModel())
