"""Checks on a GPU all that runs only there, and times it: one command, under nine minutes, nothing to choose.

    python benchmarks/gpu.py [NAME ...] [--methods METHOD ...] [--device cuda] [--tiny] [--budget 530]
        [--out gpu.json] [--json]

Each check runs in a process of its own, with a time limit of its own, so that one that fails, hangs or dies does not
stop the others. The table says what each found. The file holds the same as JSON, and is written anew after each check.
If a check failed, the exit code is 1. NAMEs choose checks, and `--methods` those that are trained.

All is done in `--budget` seconds. A check that may need more than what is left of them is skipped, with this reason.

`--tiny` takes tiny sizes. A CPU always gets these, and made-up figures for what only a GPU has. So a run on a CPU shows
that the checks work, and says nothing of a GPU.

Needed are torch, numpy, pydantic, lhotse, safetensors, scikit-learn, scipy and soundfile; where the package is not
installed, `PYTHONPATH=.` is enough. Neither Ray, MLflow nor Optuna are. What is done with torchaudio, faiss, onnx and
onnxruntime-gpu is left out where these are not installed, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import torch
from gpu_checks import attention, compiling, device, encoders, exported, kept, kmeans, memory, methods, processes, steps
from gpu_checks.check import Check, run
from gpu_checks.device import Setting

from raysearch.methods.table import METHODS
from raysearch.storage.provenance import git_commit

CHECKS = (
    Check("device", 15, device.check),
    Check("encoders", 45, encoders.check),
    Check("methods", 75, methods.check),
    Check("batch search", 30, memory.check),
    Check("flash attention", 20, attention.check),
    Check("steps", 60, steps.check),
    Check("kept states", 30, kept.check),
    Check("processes", 20, processes.check),
    Check("k-means", 75, kmeans.check),
    Check("onnx", 60, exported.check),
    Check("compile", 90, compiling.check),
)
"""All checks, those last that may take longest. What they need adds up to less than the budget."""
BUDGET_S = 530.0


def measure(
    checks: list[Check], setting: Setting, budget_s: float, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """The document of a run: what every check found, and where. `keep` gets it after each check."""
    began_s = time.monotonic()
    document: dict[str, Any] = {
        "device": str(setting.device),
        "tiny": setting.tiny,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "budget_s": budget_s,
        "seconds": 0.0,
        "checks": {},
    }
    for check in checks:
        print(f"{check.name} ...", file=sys.stderr, flush=True)
        one = run(check, setting, budget_s - (time.monotonic() - began_s))
        print(f"{check.name}: {one['state']}, {one['seconds']:g} s", file=sys.stderr, flush=True)
        document["checks"][check.name] = one
        document["seconds"] = round(time.monotonic() - began_s, 1)
        keep(document)
    return document


def show(document: dict[str, Any], out: TextIO) -> None:
    """Prints what was found: a line for each check, and one below it for each of its rows."""
    for name, found in document["checks"].items():
        print(f"{found['state']:7} {name:16} {found['seconds']:6.1f} s", file=out)
        for row, figures in found["figures"].items():
            text = ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in figures.items())
            print(f"          {row:24} {text}", file=out)
        for fault in found["faults"]:
            print(f"          FAILED  {fault}", file=out)
        for reason in found["left_out"]:
            print(f"          without {reason}", file=out)
    size = "tiny sizes" if document["tiny"] else "full sizes"
    print(f"{document['device']}, {size}, {document['seconds']:g} of {document['budget_s']:g} s", file=out)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def chosen(names: list[str]) -> list[Check]:
    """The checks with these names, or all."""
    known = {check.name: check for check in CHECKS}
    return [known[name] for name in names or known]


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [check.name for check in CHECKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(names)}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, which a CPU always gets")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for all checks together")
    parser.add_argument("--out", type=Path, help="file for the JSON document")
    parser.add_argument("--json", action="store_true", help="print the JSON document, and the table as an error")
    args = parser.parse_args(words)
    if unknown := sorted(set(args.names) - set(names)):
        parser.error(f"{', '.join(unknown)}: no such check; expected some of {', '.join(names)}")
    return args


def main(words: list[str] | None = None) -> int:
    """Runs what the words of the command say, and returns its exit code."""
    args = arguments(words)
    place = torch.device(args.device)

    def keep(document: dict[str, Any]) -> None:
        if args.out:
            args.out.write_text(json.dumps(document, indent=2) + "\n")

    setting = Setting(place, args.tiny or place.type == "cpu", tuple(args.methods))
    document = measure(chosen(args.names), setting, args.budget, keep)
    show(document, sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(document))
    return int(any(found["faults"] for found in document["checks"].values()))


if __name__ == "__main__":
    # To ask the driver and not CUDA leaves CUDA untouched in this process: processes made of it could not use it.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    # Optimisers load this at their first update, in two seconds. Loaded here, it is in the process of every check.
    import torch._dynamo

    # Whoever ends this process by a signal ends the check's process too, which is in a session of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
