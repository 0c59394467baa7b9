"""Measures what OS-KDFT's student saves in CPU time on one thread, beside what it saves in MACs.

Weights are random and the batch is one recording. The published student keeps the front end whole, so that it cannot
save more time than MACs, about 70 %. The 79 % that are published for a GPU take a smaller front end as well. Teacher
and students are timed in turn, in one run, and medians are compared. The clock is the CPU time of the process, which
other processes disturb little. First the published student is checked to be its teacher cut after four blocks: with
adapters that add nothing yet, both must give the same hidden states up to there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import macs, params
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.methods.speaker.inheritance import inherited_config, inherited_student
from raysearch.methods.speaker.settings import AdapterSettings, InheritedSettings

TEACHER = Path(__file__).parent.parent / "encoders" / "xlsr-53.yaml"
RATIOS = (1.0, 0.75, 0.5, 0.375)
"""Shares of the front end's channels that the students keep. 1 is the published student."""
RATE_HZ = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    samples = round(options.seconds * RATE_HZ)
    teacher = Encoder(read_config(TEACHER)).eval().requires_grad_(False)
    students = {ratio: student_of(teacher, ratio) for ratio in RATIOS}
    check(teacher, students[1.0])
    models = {"teacher": teacher} | {f"student, {ratio:.0%} of the channels": one for ratio, one in students.items()}
    times_ms = timed(models, samples, options.repeats)
    rows = [row(name, model.config, teacher.config, samples, times_ms) for name, model in models.items()]
    if options.json:
        print(json.dumps({"seconds": options.seconds, "threads": 1, "repeats": options.repeats, "models": rows}))
        return
    print(f"{options.seconds:g} s of noise, 1 thread, {options.repeats} repeats in turn")
    titles = ("M params", "GMAC", "ms, median", "least", "MACs ratio", "time ratio")
    print(f"{'model':30s}" + "".join(f"{title:>12s}" for title in titles))
    for one in rows:
        figures = [one[key] for key in ("params_m", "macs_g", "median_ms", "least_ms", "macs_ratio", "time_ratio")]
        print(f"{one['model']:30s}" + "".join(f"{figure:12.3f}" for figure in figures))


def student_of(teacher: Encoder, ratio: float) -> Encoder:
    """OS-KDFT's student of the teacher, with this share of the front end's channels."""
    kept, adapter = InheritedSettings(blocks=4, channels_ratio=ratio), AdapterSettings()
    student = inherited_student(teacher, kept, adapter, dropout=0.0).eval().requires_grad_(False)
    assert student.config == inherited_config(teacher.config, kept, adapter)
    return student


@torch.inference_mode()
def check(teacher: Encoder, student: Encoder) -> None:
    """Stops the benchmark unless the student is its teacher cut after four blocks."""
    audio_BS, samples_B = 0.1 * torch.randn(1, RATE_HZ), torch.tensor([RATE_HZ])
    wanted, got = teacher(audio_BS, samples_B).hidden[4], student(audio_BS, samples_B).hidden[4]
    assert torch.equal(wanted, got), "the student is not the teacher's first four blocks"


@torch.inference_mode()
def timed(models: dict[str, Encoder], samples: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of CPU of each model on noise, a list of `repeats` for each."""
    audio_BS, samples_B = 0.1 * torch.randn(1, samples), torch.tensor([samples])
    times_ms: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(repeats + 1):
        for name, model in models.items():
            started = time.process_time()
            model(audio_BS, samples_B)
            if repeat:  # the first round is a warm-up
                times_ms[name].append(1000 * (time.process_time() - started))
    return times_ms


def row(
    name: str, config: EncoderConfig, teacher: EncoderConfig, samples: int, times_ms: dict[str, list[float]]
) -> dict[str, object]:
    median_ms = statistics.median(times_ms[name])
    return {
        "model": name,
        "params_m": params(config) / 1e6,
        "macs_g": macs(config, samples) / 1e9,
        "median_ms": median_ms,
        "least_ms": min(times_ms[name]),
        "macs_ratio": macs(config, samples) / macs(teacher, samples),
        "time_ratio": median_ms / statistics.median(times_ms["teacher"]),
    }


if __name__ == "__main__":
    main()
