"""What fits the clusters of a label set sooner: scikit-learn's MiniBatchKMeans, or faiss over all frames?

    python benchmarks/kmeans.py [--clusters 500 2000] [--frames 90000] [--width 192] [--device cuda] [--json]

Both begin alike and fit the same made-up frames, as many as AN4's training split has at 50 Hz in a layer of width 192.
`ratio` is how many times as fast faiss is, and the last column its inertia over that of mini-batches. The inertia is
the mean squared distance of a frame to its centre. faiss takes the GPU if it is built for one, and otherwise as many
threads of the CPU as scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from typing import Any

import numpy as np
import sklearn
import torch

from raysearch.targets.kmeans import assign, fit_clusters, load_faiss
from raysearch.targets.quality import inertia

SOUNDS, VARIANTS = 40, 1_000
"""Sounds, and forms of them, around which frames lie. Some are far more frequent than others, as in speech."""


def made_up_frames(frames: int, width: int) -> np.ndarray:
    """Frames (N, D) around forms of a few sounds."""
    rng = np.random.default_rng(0)
    sounds_SD = rng.standard_normal((SOUNDS, width))
    variants_VD = sounds_SD[rng.integers(SOUNDS, size=VARIANTS)] + 0.5 * rng.standard_normal((VARIANTS, width))
    chosen_N = rng.choice(VARIANTS, size=frames, p=rng.dirichlet(np.full(VARIANTS, 0.5)))
    return (variants_VD[chosen_N] + 0.5 * rng.standard_normal((frames, width))).astype(np.float32)


def fitted(frames_ND: np.ndarray, clusters: int, kmeans: str, device: torch.device) -> dict[str, float]:
    """The seconds that a fit took, and its inertia."""
    began_s = time.perf_counter()
    centres_KD = fit_clusters(frames_ND, clusters, 0, kmeans, device)
    seconds = time.perf_counter() - began_s
    labels_N = assign(frames_ND, centres_KD)
    return {"seconds": round(seconds, 2), "inertia": inertia(frames_ND, centres_KD, labels_N)}


def compared(frames_ND: np.ndarray, clusters: int, device: torch.device) -> dict[str, Any]:
    both = {kmeans: fitted(frames_ND, clusters, kmeans, device) for kmeans in ("minibatch", "faiss")}
    one, other = both["minibatch"], both["faiss"]
    ratio, looser = one["seconds"] / other["seconds"], other["inertia"] / one["inertia"]
    return {"clusters": clusters, **both, "ratio": round(ratio, 2), "inertia_ratio": round(looser, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--frames", type=int, default=90_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    device, faiss = torch.device(asked.device), load_faiss()
    gpu = device.type == "cuda" and faiss.get_num_gpus() > 0
    on = {
        "faiss": faiss.__version__,
        "faiss_on": torch.cuda.get_device_name(device) if gpu else "CPU",
        "scikit_learn": sklearn.__version__,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    frames_ND = made_up_frames(asked.frames, asked.width)
    # The first fit loads libraries, and claims memory of a GPU.
    fitted(frames_ND[:1_000], 10, "faiss", device)
    points = [compared(frames_ND, clusters, device) for clusters in asked.clusters]
    if asked.json:
        print(json.dumps({"frames": asked.frames, "width": asked.width, **on, "points": points}, indent=2))
        return
    print(f"{asked.frames:,} frames of {asked.width} numbers; {on}")
    print(f"{'K':>5} {'minibatch':>10} {'faiss':>10} {'ratio':>6} {'inertia':>9} {'faiss':>9} {'ratio':>6}")
    for point in points:
        one, other = point["minibatch"], point["faiss"]
        print(
            f"{point['clusters']:5} {one['seconds']:8.1f} s {other['seconds']:8.1f} s {point['ratio']:6.2f} "
            f"{one['inertia']:9.3f} {other['inertia']:9.3f} {point['inertia_ratio']:6.3f}"
        )


if __name__ == "__main__":
    main()
