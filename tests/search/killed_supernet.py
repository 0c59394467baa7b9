"""Drives a search of a supernet without Ray, and kills itself within an update, of the supernet or of a trial.

Run as a program it prints what is left of the search in the end, beside the same search that nothing has disturbed.
Each life is a process of its own, forked from this one, which itself trains nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.lanes import worker
from raysearch.methods.settings import StudentSettings
from raysearch.search.reading import read_document
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import SearchFolder
from raysearch.training.trainer import Trainer
from tests.search.fake_search import _manifests
from tests.search.killed_driver import in_a_fork
from tests.search.lanes_here import leave_ray_out, run_file

UPDATES, TRIALS = 12, 10
"""Updates of the supernet, and trials of the search. A trial that goes on after rung 0 has four updates."""
TRAINING = {"batch_s": 2.0, "lr": 1e-3, "dropout": 0.1, "checkpoint_updates": 2}


def document(root: Path, updates: int = UPDATES) -> dict[str, Any]:
    """The search document. Its corpus and its teacher are made if they are not there."""
    speech, teacher = root / "speech", root / "teacher"
    if not speech.exists():
        torch.manual_seed(0)
        config = StudentSettings(depth=2, width=32, heads=2, channels=16, position_kernel=5).encoder()
        save_encoder(Encoder(config), teacher)
        _manifests(speech)
    return {
        "name": "sliced",
        "corpus": {"kind": "manifest", "splits": {s: str(speech / f"{s}.jsonl") for s in ("train", "dev", "test")}},
        "teacher": {"source": str(teacher), "judged": False},
        "task": {"kind": "phonemes"},
        "method": "supernet",
        "supernet": {"updates": updates, "smallest": {"width": 16, "channels": 4}, "shapes": "per-block", **TRAINING},
        "distillation": {"layers": [1, 2]},
        "training": TRAINING,
        "space": {
            "student.depth": {"int": [1, 2]},
            "student.width": {"choice": [16, 32]},
            "student.channels": {"int": [4, 16]},
            "student.ffn_ratio.1": {"float": [1.0, 4.0]},
        },
        "search": {"trials": TRIALS, "updates": 4, "rungs": [0, 1.0], "sampler": "random", "scheduler": "pareto-asha"},
        "workers": {"lanes": 1},
    }


def outcome(folder: SearchFolder) -> dict[str, Any]:
    """The front, and of every trial what it tried and what came of it, without the seconds that it took."""
    found = read_document(folder)
    return {
        "front": found.front,
        "hypervolume": found.hypervolume,
        "trials": [[t.number, t.state, t.rung, t.config, *_errors(t.metrics)] for t in found.trials],
        "shared": [[one.digest, one.seconds > 0] for one in found.shared],
    }


def _errors(metrics: dict[str, float]) -> list[float | None]:
    return [metrics.get(key) for key in ("eval/per", "test/per", "train/loss")]


def drive(root: Path) -> None:
    """Begins the search of a folder, or goes on with it."""
    spec, folder = parse_spec(document(root.parent), where="sliced"), SearchFolder(root, "sliced")
    with pytest.MonkeyPatch.context() as patch:
        leave_ray_out(patch)
        patch.setattr(run_file, "run_alone", lambda function, config, setup: function(config))
        patch.setattr(run_file, "largest_node", lambda use_gpu: 1)
        patch.setattr(run_file, "start_mirror", lambda folder: None)
        patch.setattr(worker, "one_at_a_time", nullcontext)
        patch.setattr(worker, "board_of", lambda folder, uri: SimpleNamespace(posting=lambda place: nullcontext()))
        given: dict[str, Any] = {"address": None, "say": lambda _: None}
        if folder.exists:
            run_file.resume_search(folder, trials=None, **given)
        else:
            run_file.start_search(spec, folder, study_url="", tracking="", **given)


def _die_in_update(number: int) -> None:
    update, left = Trainer.update, number

    def dying(self: Trainer, batches: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(self, batches)

    Trainer.update = dying  # type: ignore[method-assign]


def _killed_drive(root: Path, number: int) -> None:
    _die_in_update(number)
    drive(root)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    document(place)
    # The first life ends in the supernet's training between two checkpoints, the second again there, the third in a
    # trial's training.
    alive = [in_a_fork(lambda at=at: _killed_drive(place / "killed", at)) for at in (5, 3, 11)]
    for name in ("killed", "whole"):
        assert in_a_fork(lambda name=name: drive(place / name))
    folders = {name: SearchFolder(place / name, "sliced") for name in ("killed", "whole")}
    print(json.dumps({"alive": alive, **{name: outcome(folder) for name, folder in folders.items()}}))
