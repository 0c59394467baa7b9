"""Measures what a teacher's labels still say of the phones, beside the hidden states from which they were made.

    python benchmarks/label_information.py [--block 4] [--clusters 100 500] [--seeds 0 1 2] [--json]

A student that learns labels is told for each frame the nearest of K centres, and one that learns features is told the
hidden state itself. Here the same linear head as for students reads both directly, at a student's 25 frames a second:
the states of one block of Whisper base, and its labels as vectors of zeros and a one. So no student stands between
what is taught and what is read. Seeds draw clusters and batches.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import An4Settings
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.targets.kmeans import assign, fit_clusters
from raysearch.targets.store import FolderStore
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.layers import encode
from raysearch.tasks.settings import PhonemesSettings
from raysearch.teachers.loading import load_teacher
from raysearch.teachers.settings import ReadyTeacher
from raysearch.teachers.store import prepare_teacher

CPU = torch.device("cpu")
EVERY = 2
"""Whisper has 50 frames a second, and students have 25."""


class Told(nn.Module):
    """What stands for a student: it gives for each frame what a student would be taught."""

    def __init__(self, block: Block, width: int, tell: Callable[[np.ndarray], Tensor]) -> None:
        super().__init__()
        # Only the frame rate and the width of a student matter here, and a width of 100 is none.
        config = StudentSettings(front_end="logmel-25hz", depth=1).encoder()
        self.config = config.model_copy(update={"width": width})
        self._block, self._tell = block, tell

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Encoded:
        rows = [self._tell(x_TD) for x_TD in self._block(audio_BS, samples_B)]
        told_BTD = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Encoded(told_BTD, (told_BTD, told_BTD), torch.tensor([len(row) for row in rows]))


class Block:
    """The states of one block of a teacher, each batch of them computed once."""

    def __init__(self, teacher: Encoder, number: int) -> None:
        self._teacher, self._number = teacher, number
        self._known: dict[tuple[Any, ...], list[np.ndarray]] = {}

    @torch.no_grad()
    def __call__(self, audio_BS: Tensor, samples_B: Tensor) -> list[np.ndarray]:
        batch = (*samples_B.tolist(), float(audio_BS.double().square().sum()))
        if batch not in self._known:
            encoded = self._teacher(audio_BS, samples_B)
            states_BTD = encoded.hidden[self._number]
            self._known[batch] = [x_TD[:n:EVERY].numpy() for x_TD, n in zip(states_BTD, encoded.frames_B, strict=True)]
        return self._known[batch]

    @property
    def states_ND(self) -> np.ndarray:
        """All states so far, end to end."""
        return np.concatenate([x_TD for rows in self._known.values() for x_TD in rows])


def one_hot(centres_KD: np.ndarray) -> Callable[[np.ndarray], Tensor]:
    """What tells the label of each frame."""

    def tell(x_TD: np.ndarray) -> Tensor:
        return F.one_hot(torch.from_numpy(assign(x_TD, centres_KD)).long(), len(centres_KD)).float()

    return tell


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields a row for each thing that is told, seed by seed."""
    corpus = read_corpus(An4Settings(root=args.corpus), args.store / "corpora")
    imported = prepare_teacher(
        ReadyTeacher(source=f"hf:{args.teacher}"), corpus, FolderStore(args.store / "teachers"), CPU
    )
    teacher = load_teacher(imported, CPU).encoder.eval()
    block = Block(teacher, args.block)
    width = teacher.config.width
    features = Told(block, width, torch.from_numpy)
    for _ in encode(features, list(corpus.splits["train"]), corpus.audio, CPU):
        pass
    train_ND = block.states_ND
    for seed in args.seeds:
        yield {"told": "features", "clusters": None, "seed": seed, **errors(features, corpus, seed)}
        for clusters in args.clusters:
            told = Told(block, clusters, one_hot(fit_clusters(train_ND, clusters, seed)))
            yield {"told": "labels", "clusters": clusters, "seed": seed, **errors(told, corpus, seed)}


def errors(told: Told, corpus: Corpus, seed: int) -> dict[str, float]:
    """Dev and test PER of the head that reads this, and its rate."""
    found = Phonemes(PhonemesSettings()).evaluate(told, corpus, test=True, device=CPU, seed=seed)  # type: ignore[arg-type]
    assert found.test is not None
    return {"dev_per": found.dev.value, "test_per": found.test.value, "lr": found.details["lr"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("../shared/data/asr/an4"))
    parser.add_argument("--teacher", type=Path, default=Path("../shared/data/teachers/whisper-base-encoder"))
    parser.add_argument("--store", type=Path, default=Path("searches/_store"))
    parser.add_argument("--block", type=int, default=4)
    parser.add_argument("--clusters", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.json:
        print(json.dumps([*measure(args)]))
        return
    print(f"{'told':>10}{'clusters':>10}{'seed':>6}{'dev PER %':>11}{'test PER %':>12}{'rate':>8}")
    for row in measure(args):
        print(
            f"{row['told']:>10}{row['clusters'] or '-':>10}{row['seed']:>6}{row['dev_per']:>11.1f}"
            f"{row['test_per']:>12.1f}{row['lr']:>8g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
