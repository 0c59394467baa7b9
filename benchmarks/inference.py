"""Do fewer MACs buy time? Measures students beside their teacher, in ONNX and in torch, on 1 and 2 threads.

Teacher and student run in turn in one process, so that both meet the same machine. The ratios are teacher over
student. `macs_ratio` comes from the closed form at that length. `time_ratio` is of medians, with the quartiles of the
ratios of neighbouring runs. First both are checked to be what their configs say: the MACs of the ONNX graph equal the
closed form, and ONNX and torch agree on the same audio. Weights are drawn, since latency does not depend on them.
At the end stands what onnxruntime says of the time of each kind of operator, of the share of all nodes that make the
log-mel features, and of the largest of these nodes.

    python benchmarks/inference.py [--json] [--seconds 10] [ENCODER.yaml ...]

Without documents, the teacher is HuBERT Base cut to 4 layers of width 256, beside students of falling size. Other
encoders are given as documents, the teacher first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from raysearch.deploy.runtime.transcribe import Run
from raysearch.encoder import cost
from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.exported.onnx_cost import graph_macs, in_module
from raysearch.exported.onnx_file import layout, to_onnx, trace, write_onnx
from raysearch.exported.runners import run_checkpoint, run_file
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.ctc.tokens import CtcHead
from raysearch.tasks.head import ChosenHead, CtcHeadConfig

RATE_HZ = 16_000
ROUNDS, WARMUP = 10, 2
AGREE = 5e-3
"""Largest allowed difference of a log-probability between ONNX and torch."""


def shape(front_end: Waveform | LogMel, depth: int, width: int) -> EncoderConfig:
    blocks = Blocks(count=depth, heads=4, head_width=width // 4, ffn=4 * width)
    return EncoderConfig(
        front_end=front_end, width=width, position_conv=PositionConv(kernel=31, groups=16), blocks=blocks
    )


DEFAULT = {
    "teacher: waveform, 4 x 256": shape(Waveform(channels=[128] * 7), 4, 256),
    "logmel 25 Hz, 4 x 256": shape(LogMel(channels=[256, 256]), 4, 256),
    "logmel 25 Hz, 1 x 64": shape(LogMel(channels=[64, 64]), 1, 64),
}


def recogniser(config: EncoderConfig) -> Recogniser:
    """An encoder and a phone head with random weights."""
    torch.manual_seed(0)
    head = CtcHead(config.depth + 1, config.width, 41)
    torch.nn.init.normal_(head.weight_VD, std=0.1)
    phones = [f"P{index}" for index in range(40)]
    about = CtcHeadConfig(unit="phones", symbols=phones, layers=config.depth + 1, width=config.width)
    return Recogniser(Encoder(config).eval().requires_grad_(False), ChosenHead(about, head, None))


def exported(config: EncoderConfig, file: Path, audio_BS: np.ndarray) -> Recogniser:
    """Writes the ONNX file and checks that it is the config's encoder."""
    made = recogniser(config)
    write_onnx(to_onnx(trace(made)), layout(made), "fp32", file)
    samples = audio_BS.shape[1]
    counted = graph_macs(onnx.load(file), samples).encoder
    assert counted == cost.macs(config, samples), f"{file}: {counted} MACs in the graph"
    lengths_B = np.array([samples])
    ours, theirs = (run(audio_BS, lengths_B)[0] for run in (run_checkpoint(made), run_file(file)))
    difference = float(np.abs(ours - theirs).max())
    assert difference <= AGREE, f"{file}: log-probabilities differ by {difference}"
    return made


def interleaved(teacher: Run, student: Run, audio_BS: np.ndarray) -> np.ndarray:
    """Milliseconds (rounds, 2) of teacher and student, which run in turn."""
    lengths_B = np.array([audio_BS.shape[1]])
    times = []
    for round_ in range(WARMUP + ROUNDS):
        pair = []
        for run in (teacher, student):
            started = time.perf_counter()
            run(audio_BS, lengths_B)
            pair.append(1000 * (time.perf_counter() - started))
        if round_ >= WARMUP:
            times.append(pair)
    return np.array(times)


def profile(file: Path, audio_BS: np.ndarray) -> dict[str, Any]:
    """Milliseconds of each kind of operator on one thread, and what share of the time the log-mel features take."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(file.with_suffix(""))
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    for _ in range(WARMUP + ROUNDS):
        session.run(None, {"audio": audio_BS, "samples": np.array([audio_BS.shape[1]])})
    kinds, nodes = Counter[str](), Counter[str]()
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            milliseconds = event["dur"] / 1000 / (WARMUP + ROUNDS)
            kinds[event["args"]["op_name"]] += milliseconds
            # A node that onnxruntime made of others is named after the first of them.
            nodes[event["name"].removesuffix("_kernel_time").split("/")[0]] += milliseconds
    features = {node.name for node in onnx.load(file).graph.node if in_module(node, "log_mel")}
    total, of_features = nodes.total(), [nodes[name] for name in features if name in nodes]
    return {
        "ms_by_operator": {kind: round(ms, 2) for kind, ms in kinds.most_common(8)},
        "features_share": round(sum(of_features) / total, 3),
        "largest_feature_node_share": round(max(of_features, default=0) / total, 3),
    }


def compare(
    configs: dict[str, EncoderConfig], seconds: float
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Rows of times and ratios, and the profile of each encoder in ONNX."""
    samples = round(seconds * RATE_HZ)
    audio_BS = 0.1 * np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32)
    (teacher, teacher_config), *students = configs.items()
    rows = []
    with TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{index}.onnx") for index, name in enumerate(configs)}
        made = {name: exported(config, files[name], audio_BS) for name, config in configs.items()}
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for runtime in ("onnx", "torch"):
                runs = {
                    name: run_file(files[name], threads) if runtime == "onnx" else run_checkpoint(made[name])
                    for name in configs
                }
                for student, config in students:
                    times_R2 = interleaved(runs[teacher], runs[student], audio_BS)
                    medians, ratios_R = np.median(times_R2, axis=0), times_R2[:, 0] / times_R2[:, 1]
                    rows.append(
                        {
                            "student": student,
                            "runtime": runtime,
                            "threads": threads,
                            "teacher_ms": round(float(medians[0]), 2),
                            "student_ms": round(float(medians[1]), 2),
                            "macs_ratio": round(cost.macs(teacher_config, samples) / cost.macs(config, samples), 2),
                            "time_ratio": round(float(medians[0] / medians[1]), 2),
                            "time_ratio_quartiles": [round(float(q), 2) for q in np.percentile(ratios_R, (25, 75))],
                        }
                    )
        profiles = {name: profile(file, audio_BS) for name, file in files.items()}
    return rows, profiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="*", type=Path, metavar="ENCODER.yaml")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    configs = {str(path): read_config(path) for path in asked.documents} or DEFAULT
    if len(configs) < 2:
        parser.error("expected a teacher and at least one student")
    rows, profiles = compare(configs, asked.seconds)
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    if asked.json:
        document = {"seconds": asked.seconds, "teacher": next(iter(configs)), **machine}
        print(json.dumps({**document, "rows": rows, "profiles": profiles}, indent=2))
        return
    print(f"{asked.seconds:g} s of audio, batch 1; {machine}; teacher {next(iter(configs))}")
    print(f"{'student':24} {'runtime':7} {'threads':>7} {'ms':>8} {'macs_ratio':>10} {'time_ratio':>10}  quartiles")
    for row in rows:
        print(
            f"{row['student']:24} {row['runtime']:7} {row['threads']:7} {row['student_ms']:8.2f} "
            f"{row['macs_ratio']:10.2f} {row['time_ratio']:10.2f}  {row['time_ratio_quartiles']}"
        )
    for name, found in profiles.items():
        kinds = ", ".join(f"{kind} {ms}" for kind, ms in found["ms_by_operator"].items())
        print(
            f"{name}: features {found['features_share']:.0%} of the time, the largest of their nodes "
            f"{found['largest_feature_node_share']:.0%}; ms by operator: {kinds}"
        )


if __name__ == "__main__":
    main()
