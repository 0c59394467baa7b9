"""Do the MACs that slicing takes away come back as time? Times sliced encoders beside the whole HuBERT Base, batch 1.

Gates are drawn at random, around a mean of its own in each layer. They are settled on each target as a pruning trial
settles its gates, and the encoder is sliced by them: once with any number of units, once with channels and FFN units in
multiples of 16 (`pruning.multiple`). First the sliced encoders are checked to give what the gated one gives, and to
have the MACs that their configs promise. Dense and sliced encoders run in turn in one process, so that all meet the
same machine. `macs_ratio` and `speedup` are dense over sliced. `share` is the speed-up over the MACs ratio, with the
quartiles over the rounds.

    python benchmarks/slice_speedup.py [--json] [--seconds 5] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysearch.encoder import cost
from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet
from raysearch.encoder.slicing import slice_encoder
from raysearch.methods.pruning.budget import budgets
from raysearch.methods.pruning.lagrangian import settle
from raysearch.methods.pruning.settings import PruningSettings

RATE_HZ = 16_000
BASE = EncoderConfig(front_end=Waveform(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))
RATIOS, MULTIPLES, THREADS = (0.7, 0.5, 0.3), (1, 16), (1, 2)
"""Shares of MACs that are left, multiples that unit counts are held to, and CPU threads."""
WARMUP = 2
AGREE = 1e-3
"""Largest allowed difference of an output. Outputs are near 1, and twelve blocks in fp32 round to about 1e-5."""


def sliced(dense: Encoder, ratio: float, multiple: int) -> Encoder:
    """The dense encoder without the units that drawn gates drop to meet the ratio."""
    torch.manual_seed(0)
    gates = GateSet(BASE)
    with torch.no_grad():
        for log_alpha_U in gates.parameters():
            log_alpha_U.normal_(torch.randn(()).item(), 2.0)
    settings = PruningSettings(macs_ratio=ratio, multiple=multiple)
    kept = settle(gates, budgets(settings, BASE, BASE))
    found, _ = slice_encoder(dense, gates.values(kept))
    copy = Encoder(BASE)
    copy.load_state_dict(dense.state_dict())
    inputs = torch.randn(1, RATE_HZ), torch.tensor([RATE_HZ])
    with torch.inference_mode():
        masked, plain = GatedEncoder(copy, gates).eval()(*inputs, kept), found.eval()(*inputs)
    difference = (masked.output_BTD - plain.output_BTD).abs().max().item()
    assert difference <= AGREE, f"ratio {ratio}: gated and sliced differ by {difference}"
    share = cost.macs_superb(found.config) / cost.macs_superb(BASE)
    assert abs(share / ratio - 1) < 0.01, f"ratio {ratio}: {share}"
    return found


def seconds_of(encoder: Encoder, inputs: tuple[Tensor, Tensor]) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        encoder(*inputs)
    return time.perf_counter() - started


def measure(seconds: float, rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    dense = Encoder(BASE).eval()
    shapes = [(ratio, multiple) for multiple in MULTIPLES for ratio in RATIOS]
    encoders = [dense, *(sliced(dense, *shape) for shape in shapes)]
    samples = round(seconds * RATE_HZ)
    inputs = 0.1 * torch.randn(1, samples), torch.tensor([samples])
    macs = [cost.macs(encoder.config, samples) for encoder in encoders]
    points = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        # R rounds, E encoders. All encoders run in each round, so that a busy moment slows all of them.
        times_RE = np.array([[seconds_of(e, inputs) for e in encoders] for _ in range(WARMUP + rounds)])[WARMUP:]
        for index, (ratio, multiple) in enumerate(shapes, start=1):
            macs_ratio = macs[0] / macs[index]
            speedup = np.median(times_RE[:, 0]) / np.median(times_RE[:, index])
            shares_R = times_RE[:, 0] / times_RE[:, index] / macs_ratio
            points.append(
                {
                    "threads": threads,
                    "target": ratio,
                    "multiple": multiple,
                    "dense_ms": round(1000 * float(np.median(times_RE[:, 0])), 1),
                    "sliced_ms": round(1000 * float(np.median(times_RE[:, index])), 1),
                    "macs_ratio": round(macs_ratio, 3),
                    "speedup": round(float(speedup), 3),
                    "share": round(float(speedup / macs_ratio), 3),
                    "share_quartiles": [round(float(q), 3) for q in np.percentile(shares_R, (25, 75))],
                }
            )
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of audio")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    points = measure(asked.seconds, asked.rounds)
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    if asked.json:
        print(json.dumps({"seconds": asked.seconds, **machine, "points": points}, indent=2))
        return
    print(f"HuBERT Base, {asked.seconds:g} s of audio, batch 1; {machine}")
    titles = ("threads", "left", "multiple", "ms", "macs_ratio", "speedup", "share")
    print("{:>7} {:>4} {:>8} {:>8} {:>10} {:>7} {:>5}  quartiles".format(*titles))
    for point in points:
        print(
            f"{point['threads']:7} {point['target']:4} {point['multiple']:8} {point['sliced_ms']:8.1f} "
            f"{point['macs_ratio']:10.2f} {point['speedup']:7.2f} {point['share']:5.2f}  {point['share_quartiles']}"
        )


if __name__ == "__main__":
    main()
