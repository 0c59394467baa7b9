"""Learning curves of SUPERB's recurrent head and of linear heads on two encoders that do not change.

    python benchmarks/superb_heads.py --encoder hf:../shared/data/teachers/whisper-base-encoder \
        --root ../shared/data/asr/an4 --blocks 6 2 --seeds 0 1 2

The encoders are the one that is given, cut after so many blocks. Their hidden states are computed once, since those of
the first blocks are the same. Of linear heads the rate counts whose error on dev is the lowest after all updates.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lhotse.cut import MonoCut
from torch import Tensor

from raysearch.api.encoders import load_encoder
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import An4Settings
from raysearch.tasks.ctc.recognition import CtcLearner, Reading, logits
from raysearch.tasks.ctc.tokens import Tokens, greedy, reference
from raysearch.tasks.layers import at_rest, encode
from raysearch.tasks.optimiser import Optimiser
from raysearch.tasks.probe import draw, drawing
from raysearch.tasks.score import Score
from raysearch.tasks.superb import CLIP

CPU = torch.device("cpu")


class Curves:
    """Trains heads on the kept hidden states of a corpus, and scores them on dev on the way."""

    def __init__(self, states: dict[str, Tensor], train: Sequence[MonoCut], dev: Sequence[MonoCut]) -> None:
        self._states, self._train, self._dev = states, train, dev
        self._tokens = Tokens.from_cuts(train, "characters")

    def of(
        self, blocks: int, units: int | None, lr: float, updates: Sequence[int], batch_s: float, seed: int
    ) -> list[Score]:
        """The scores after so many updates of a head that reads the states up to this block. `units` as a head has."""
        learner = CtcLearner(self._tokens, self._train, units)
        width = next(iter(self._states.values())).shape[2]
        found = []
        with drawing(seed, CPU):
            head = learner.head(blocks + 1, width)
            optimiser = Optimiser([(head, lr)], updates[-1], CLIP if units else None)
            for done, cuts in enumerate(draw(self._train, batch_s, updates[-1], seed), start=1):
                xs = [self._read(cut, blocks) for cut in cuts]
                loss = learner.loss(head, torch.cat(xs, dim=1), [x_LTD.shape[1] for x_LTD in xs], cuts)
                optimiser.update(loss / learner.count(cuts))
                if done in updates:
                    found.append(self._score(head, blocks))
                    print(
                        f"  {lr:g} after {done}: {found[-1].value:.1f}, loss {loss.item() / learner.count(cuts):.2f}",
                        flush=True,
                    )
        return found

    def _read(self, cut: MonoCut, blocks: int) -> Tensor:
        return self._states[cut.id][: blocks + 1].float()

    def _score(self, head: torch.nn.Module, blocks: int) -> Score:
        hypotheses = []
        with at_rest(head):
            for cut in self._dev:
                x_LTD = self._read(cut, blocks)
                logits_TV = logits(head, x_LTD, [x_LTD.shape[1]])
                (best,) = greedy(logits_TV[None], torch.tensor([len(logits_TV)]))
                hypotheses.append(self._tokens.decode(best))
        return Reading([reference(cut, "characters") for cut in self._dev], hypotheses).score("words", seed=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--blocks", nargs="+", type=int, default=[6, 2])
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-3, help="rate of the recurrent head")
    parser.add_argument("--lrs", nargs="+", type=float, default=[0.1, 0.3, 1.0], help="rates of linear heads")
    parser.add_argument("--updates", nargs="+", type=int, default=[100, 200, 400, 800])
    parser.add_argument("--batch-s", type=float, default=10.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus = read_corpus(An4Settings(root=args.root), Path("searches/superb-heads"))
    train, dev = list(corpus.splits["train"]), list(corpus.splits["dev"])
    begun = time.perf_counter()
    states = {cut.id: x_LTD for cut, x_LTD in encode(load_encoder(args.encoder), [*train, *dev], corpus.audio, CPU)}
    print(f"hidden states: {time.perf_counter() - begun:.0f} s", flush=True)
    curves = Curves(states, train, dev)
    rows: list[dict[str, Any]] = []
    for blocks in args.blocks:
        for seed in args.seeds:
            for units, rates in ((None, args.lrs), (args.units, [args.lr])):
                begun = time.perf_counter()
                found = {lr: curves.of(blocks, units, lr, args.updates, args.batch_s, seed) for lr in rates}
                best = min(found, key=lambda lr: found[lr][-1].value)
                seconds = (time.perf_counter() - begun) / len(rates)
                scores = [(s.value, s.low, s.high) for s in found[best]]
                rows.append({"blocks": blocks, "head": "superb" if units else "linear", "seed": seed, "lr": best})
                rows[-1] |= {"scores": scores, "seconds": seconds}
                shown = ", ".join(f"{value:.1f} ({low:.1f} to {high:.1f})" for value, low, high in scores)
                print(
                    f"{blocks} blocks, {rows[-1]['head']}, seed {seed}, {best:g}: {shown}; {seconds:.0f} s", flush=True
                )
                if args.json:
                    args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
