"""k-means on the device: the nearest centres equal those found on the CPU, and a fit there is as good.

Label sets are fitted by mini-batches on the CPU, or by faiss, on the device where faiss is built for it. The textbook's
fit beside them, over all frames in every round, needs torch alone.

Shapes: N frames, D features, K clusters, H points that frames lie around.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gpu_checks.check import Found
from gpu_checks.device import Setting
from raysearch.errors import InputError
from raysearch.targets.kmeans import assign, fit_clusters, load_faiss

T = TypeVar("T")

LEAST_EQUAL = 0.999
"""Share of frames with equal labels. Two centres may be equally near up to rounding."""
MOST_WORSE = 1.05
"""Mean squared distance after another fit over that after the fit by mini-batches. Two seeds differ by 0.4 %."""
ROUNDS = 20


def check(setting: Setting, found: Found) -> None:
    frames, width, numbers = (2_000, 16, (50, 100)) if setting.tiny else (20_000, 768, (500, 2000))
    frames_ND, by_faiss = _speech_like(frames, width), _has_faiss(setting, found)
    for clusters in numbers:
        with found.part(f"K = {clusters}"):
            _compare(setting, found, frames_ND, clusters, by_faiss)


def _has_faiss(setting: Setting, found: Found) -> bool:
    try:
        faiss = load_faiss()
    except InputError as err:
        found.leave_out(f"faiss, which fitted nothing: {err}")
        return False
    if not (setting.on_gpu and faiss.get_num_gpus()):
        found.leave_out("faiss for a GPU: not installed or no GPU, so that faiss ran on the CPU")
    return True


def _compare(setting: Setting, found: Found, frames_ND: np.ndarray, clusters: int, by_faiss: bool) -> None:
    row = f"K = {clusters}"
    centres_KD, fit_s = _timed(setting, lambda: fit_clusters(frames_ND, clusters, 0))
    expected_N, assign_s = _timed(setting, lambda: assign(frames_ND, centres_KD))
    there_ND, there_KD = (torch.from_numpy(x).to(setting.device) for x in (frames_ND, centres_KD))
    _nearest(there_ND, there_KD)  # the first call chooses kernels
    labels_N, device_assign_s = _timed(setting, lambda: _nearest(there_ND, there_KD))
    fitted_KD, device_fit_s = _timed(setting, lambda: _fit(there_ND, clusters))
    equal = float((labels_N.cpu().numpy() == expected_N).mean())
    figures = {"fit_s": fit_s, "device_fit_s": device_fit_s, "assign_s": assign_s, "device_assign_s": device_assign_s}
    distances = {"distance_to_cpu": _spread(there_ND, fitted_KD) / _spread(there_ND, there_KD)}
    if by_faiss:
        faiss_KD, figures["faiss_fit_s"] = _timed(
            setting, lambda: fit_clusters(frames_ND, clusters, 0, "faiss", setting.device)
        )
        there = torch.from_numpy(faiss_KD).to(setting.device)
        distances["faiss_distance_to_cpu"] = _spread(there_ND, there) / _spread(there_ND, there_KD)
    found.row(row, **figures, equal=equal, **distances)
    found.expect(equal >= LEAST_EQUAL, f"{row}: {equal:.2%} of labels are equal")
    for name, worse in distances.items():
        found.expect(worse < MOST_WORSE, f"{row}: {name} is {worse:.3g}; expected under {MOST_WORSE}")


def _speech_like(frames: int, width: int) -> np.ndarray:
    """Frames (N, D) around fewer points than there are clusters, since speech has lumps and noise has none."""
    rng = np.random.default_rng(0)
    homes_HD = rng.standard_normal((20, width))
    frames_ND = homes_HD[rng.integers(len(homes_HD), size=frames)] + 0.5 * rng.standard_normal((frames, width))
    return frames_ND.astype(np.float32)


def _timed(setting: Setting, work: Callable[[], T]) -> tuple[T, float]:
    setting.synchronise()
    began_s = time.perf_counter()
    result = work()
    setting.synchronise()
    return result, time.perf_counter() - began_s


def _fit(frames_ND: Tensor, clusters: int) -> Tensor:
    """Centres (K, D) after some rounds, from frames that lie far apart. A centre without frames stays where it is."""
    centres_KD = _far_apart(frames_ND, clusters)
    for _ in range(ROUNDS):
        labels_N = _nearest(frames_ND, centres_KD)
        sums_KD = torch.zeros_like(centres_KD).index_add_(0, labels_N, frames_ND)
        counts_K = torch.bincount(labels_N, minlength=clusters)[:, None]
        centres_KD = torch.where(counts_K > 0, sums_KD / counts_K.clamp(min=1), centres_KD)
    return centres_KD


def _far_apart(frames_ND: Tensor, clusters: int) -> Tensor:
    """Frames (K, D), each drawn by its squared distance to the nearest of those before: k-means++.

    Source: Arthur and Vassilvitskii, 2007.
    """
    centres_KD = frames_ND[:1].repeat(clusters, 1)
    far_N = (frames_ND - centres_KD[0]).square().sum(1)
    for number in range(1, clusters):
        centres_KD[number] = frames_ND[torch.multinomial(far_N, 1)[0]]
        far_N = torch.minimum(far_N, (frames_ND - centres_KD[number]).square().sum(1))
    return centres_KD


def _nearest(frames_ND: Tensor, centres_KD: Tensor) -> Tensor:
    # The square of the frame itself is the same for all centres.
    return (centres_KD.square().sum(1) - 2 * frames_ND @ centres_KD.T).argmin(1)


def _spread(frames_ND: Tensor, centres_KD: Tensor) -> float:
    """The mean squared distance of frames to their nearest centre."""
    return float((frames_ND - centres_KD[_nearest(frames_ND, centres_KD)]).square().sum(1).mean())
