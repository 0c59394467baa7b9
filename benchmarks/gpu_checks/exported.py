"""Exported models in fp32, fp16 and int8 on onnxruntime, by CUDA where it has that.

Shapes: B batch, S samples, T frames, V tokens.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_checks.check import Found
from gpu_checks.device import Setting
from gpu_checks.encoders import kinds
from raysearch.encoder.encoder import Encoder
from raysearch.tasks.head import ChosenHead, CtcHeadConfig

TOLERANCE = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.5}
"""Mean difference of log-probabilities, by precision. The head's weights are drawn, so these are of the order of 1."""


def check(setting: Setting, found: Found) -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        found.leave_out(f"{', '.join(missing)}: not installed, and nothing was exported")
        return
    import onnxruntime

    providers: list[Any] = ["CPUExecutionProvider"]
    if setting.on_gpu and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # Finds cuDNN where torch brought it along.
        onnxruntime.preload_dlls()
        # Without this fp32 would be rounded to 10 bits.
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": 0}))
    else:
        found.leave_out("onnxruntime-gpu: not installed or no GPU, so that exported models ran on the CPU")
    _compare(setting, found, providers)


def _compare(setting: Setting, found: Found, providers: list[Any]) -> None:
    # These are not installed wherever one trains.
    import onnxruntime

    from raysearch.exported.onnx_file import layout, to_onnx, trace, write_onnx
    from raysearch.exported.speech_model import Recogniser

    recogniser = _recogniser(setting, Recogniser)
    samples = 16_000 if setting.tiny else 160_000
    audio_BS = 0.1 * np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    inputs = {"audio": audio_BS, "samples": np.array([samples, samples * 5 // 8])}
    with torch.inference_mode():
        expected_BTV, frames_B = recogniser.model()(*map(torch.from_numpy, inputs.values()))
    model = to_onnx(trace(recogniser))
    wanted = "CUDAExecutionProvider" if len(providers) > 1 else "CPUExecutionProvider"
    for precision, most in TOLERANCE.items():
        with found.part(precision):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "model.onnx")
                write_onnx(model, layout(recogniser), precision, file)
                session = onnxruntime.InferenceSession(str(file), providers=providers)
            log_probs_BTV, seconds = _timed(session, inputs)
            valid = [np.abs(log_probs_BTV - expected_BTV.numpy())[b, :count] for b, count in enumerate(frames_B)]
            gap, provider = float(np.concatenate(valid).mean()), session.get_providers()[0]
            found.row(precision, provider=provider, run_s=seconds, apart=gap)
            found.expect(gap < most, f"{precision}: log-probabilities are {gap:.2g} apart; expected under {most:g}")
            # Where CUDA's libraries do not load, onnxruntime takes the CPU and only warns.
            found.expect(provider == wanted, f"{precision}: ran by {provider}; expected {wanted}")


def _timed(session: Any, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """The log-probabilities, and the seconds of the second of two runs. The first one chooses kernels."""
    for _ in range(2):
        began_s = time.perf_counter()
        log_probs_BTV = session.run(None, inputs)[0]
        seconds = time.perf_counter() - began_s
    return log_probs_BTV, seconds


def _recogniser(setting: Setting, kind: Any) -> Any:
    """An untrained encoder with a head whose weights are drawn."""
    encoder = Encoder(kinds(setting.tiny, 1 if setting.tiny else None)["log-mel"]).eval().requires_grad_(False)
    symbols = [f"T{number}" for number in range(40)]
    config = CtcHeadConfig(unit="phones", symbols=symbols, layers=encoder.config.depth + 1, width=encoder.config.width)
    head = config.build()
    torch.nn.init.normal_(head.weight_VD, std=encoder.config.width**-0.5)
    return kind(encoder, ChosenHead(config, head, None))
