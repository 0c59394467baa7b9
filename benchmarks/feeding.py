"""Measures what it costs to feed a Fast-HuBERT student: from audio or from kept log-mel bins, with and without readers.

    python benchmarks/feeding.py [--corpus ../shared/data/asr/an4] [--width 128] [--updates 30] [--json]

Readers are processes that make batches ahead of training. The figures are the CPU time of an update (batch, forward and
backward pass) on one thread, of the training process and of its readers. A busy machine changes them little. With
readers, a machine with cores to spare waits for the first figure alone, and one without pays both. All ways must give
the same losses, to the last digit.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.corpora.batches import Rows, TrainingBatches
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import An4Settings
from raysearch.methods.labels.batches import LabelledBatches
from raysearch.methods.labels.prediction import MaskedPrediction
from raysearch.methods.labels.settings import FastPrediction
from raysearch.methods.settings import StudentSettings
from raysearch.targets.label_set import LabelKey, LabelSet
from raysearch.targets.mels import mels_of
from raysearch.targets.store import Store
from raysearch.training.initial import initial_encoder

CLUSTERS = 100
BATCH_S = 40.0
"""Seconds of audio in a batch."""


def cpu_s(whose: int) -> float:
    """CPU seconds that this process, or its children that have ended, have used so far."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def random_labels(corpus: Corpus) -> LabelSet:
    """A label set at 25 Hz with random labels: the time of an update does not depend on them."""
    cuts = list(corpus.splits["train"])
    # 640 samples are a frame at 25 Hz.
    ends = np.cumsum([cut.num_samples // 640 + 1 for cut in cuts])
    spans = {cut.id: slice(*pair) for cut, pair in zip(cuts, zip([0, *ends], ends, strict=False), strict=True)}
    key = LabelKey("mfcc", "", 0, CLUSTERS, 0, 0, corpus.fingerprint)
    return LabelSet(key, 640, {}, np.random.default_rng(0).integers(CLUSTERS, size=ends[-1]), spans)


def feed(corpus: Corpus, rows: Rows, readers: int, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of CPU in a mean update, of this process and of its readers, and the losses."""
    shape = StudentSettings(depth=2, width=args.width, heads=4, channels=args.width, position_kernel=15)
    student = initial_encoder(shape.encoder(), None, corpus, seed=0)
    module, labels = MaskedPrediction(student, CLUSTERS, FastPrediction()), random_labels(corpus)
    prepare = LabelledBatches(student, labels, FastPrediction(), seed=0)
    stream = TrainingBatches(corpus.splits["train"], rows, BATCH_S, 0, readers=readers).from_step(0)
    losses = []
    began_s = (0.0, 0.0)
    for step, batch in enumerate(islice(stream, args.updates + 1)):
        loss, _ = module(**prepare(step, batch))
        loss.backward()
        losses.append(loss.item())
        if step == 0:  # the first update claims memory, and is not counted
            began_s = cpu_s(resource.RUSAGE_SELF), cpu_s(resource.RUSAGE_CHILDREN)
    own_s = cpu_s(resource.RUSAGE_SELF) - began_s[0]
    del stream  # the system counts readers only when they have ended
    theirs_s = cpu_s(resource.RUSAGE_CHILDREN) - began_s[1]
    return {"own_ms": 1000 * own_s / args.updates, "readers_ms": 1000 * theirs_s / args.updates, "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/data/asr/an4"))
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        corpus = read_corpus(An4Settings(root=args.corpus), store.corpora)
        mels = mels_of(corpus, 80, store.mels)
        assert mels is not None
        ways = {
            f"{name}, {readers} readers": feed(corpus, rows, readers, args)
            for name, rows in {"audio": corpus.audio, "bins": mels}.items()
            for readers in (0, 1)
        }
    first, *others = (way.pop("losses") for way in ways.values())
    assert all(losses == first for losses in others), "a way of feeding changed a loss"
    if args.json:
        print(json.dumps(ways))
        return
    for name, way in ways.items():
        print(f"{name:20} {way['own_ms']:8.1f} ms an update, readers {way['readers_ms']:6.1f} ms")


if __name__ == "__main__":
    main()
