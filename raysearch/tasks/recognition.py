"""What ASR and phoneme recognition share: train, let dev choose, count errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import jiwer
import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.tasks.base import Evaluated
from raysearch.tasks.ctc import Tokens, Unit, frames_needed, greedy, reference
from raysearch.tasks.finetune import finetune
from raysearch.tasks.interval import rate_interval
from raysearch.tasks.layers import encode
from raysearch.tasks.probe import Trained, probe
from raysearch.tasks.score import Score
from raysearch.tasks.settings import CtcSettings


@dataclass(frozen=True)
class Reading:
    """What one head made of a split, cut by cut."""

    references: list[list[str]]
    hypotheses: list[list[str]]

    @property
    def collapsed(self) -> bool:
        """Nothing but blanks: every error is a deletion, and the rate is 100 whatever the encoder."""
        return not any(self.hypotheses)

    def score(self, item: str, seed: int) -> Score:
        """The corpus error rate; `item` names in the counts what is counted, `words` or `phones`."""
        aligned = jiwer.process_words(
            [" ".join(items) for items in self.references], [" ".join(items) for items in self.hypotheses]
        )
        errors_C = [
            sum(
                max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                for chunk in chunks
                if chunk.type != "equal"
            )
            for chunks in aligned.alignments
        ]
        score = rate_interval(errors_C, [len(items) for items in self.references], seed=seed)
        counts = {
            item: sum(map(len, self.references)),
            "substitutions": aligned.substitutions,
            "deletions": aligned.deletions,
            "insertions": aligned.insertions,
        }
        return replace(score, counts=score.counts | counts)


class CtcTask:
    """Trains CTC heads on train, chooses the learning rate on dev, reads test only when asked.

    Cannot: use a language model; score a corpus without a dev split.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    unit: ClassVar[Unit]
    item: ClassVar[str]

    def __init__(self, settings: CtcSettings) -> None:
        self.settings = settings
        self._store = AudioStore()

    def evaluate(self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int) -> Evaluated:
        train = self._cuts(corpus, "train")
        dev = self._cuts(corpus, "dev")
        held_out = self._cuts(corpus, "test") if test else None
        tokens = Tokens.from_cuts(train, self.unit)
        learn = probe if self.settings.mode == "probe" else finetune
        trained = learn(encoder, train, tokens, self.settings, self._store, device, seed)
        readings, dev_infeasible = self._read(trained, tokens, dev, device)
        scores = {lr: reading.score(self.item, seed) for lr, reading in readings.items()}
        best = min(scores, key=lambda lr: (scores[lr].value, lr))
        details = {
            "lr": best,
            "lr_at_edge": float(len(scores) > 1 and best in (min(scores), max(scores))),
            "collapsed": float(readings[best].collapsed),
            "infeasible": float(trained.infeasible),
        }
        details |= {f"at_lr_{lr:g}": score.value for lr, score in scores.items()}
        test_score = None
        if held_out is not None:
            chosen = replace(trained, heads={best: trained.heads[best]})
            test_readings, infeasible = self._read(chosen, tokens, held_out, device)
            test_score = _counted(test_readings[best].score(self.item, seed), infeasible)
        return Evaluated(_counted(scores[best], dev_infeasible), test_score, details)

    def _cuts(self, corpus: Corpus, split: str) -> list[MonoCut]:
        cuts = list(corpus.splits.get(split, []))
        where = f"task {self.name}: corpus {corpus.name}: split {split}"
        try:
            items = sum(len(reference(cut, self.unit)) for cut in cuts)
        except InputError as err:
            raise InputError(f"{where}: {err}") from err
        if items == 0:
            raise InputError(f"{where}: {len(cuts)} cuts without {self.item}; expected some to learn or to score")
        return cuts

    def _read(
        self, trained: Trained, tokens: Tokens, cuts: Sequence[MonoCut], device: torch.device
    ) -> tuple[dict[float, Reading], int]:
        """Each head's reading of a split, and how many cuts have too few frames to be read without error."""
        readings = {lr: Reading([], []) for lr in trained.heads}
        infeasible = 0
        for cut, x_LTD in encode(trained.encoder, cuts, self._store, device):
            frames = x_LTD.shape[1]
            infeasible += frames < frames_needed(tokens.encode(cut))
            for lr, head in trained.heads.items():
                with torch.no_grad():
                    logits_TV = head(x_LTD.float())
                (read,) = greedy(logits_TV[None], torch.tensor([frames]))
                readings[lr].references.append(reference(cut, self.unit))
                readings[lr].hypotheses.append(tokens.decode(read))
        return readings, infeasible


def _counted(score: Score, infeasible: int) -> Score:
    return replace(score, counts=score.counts | {"infeasible": infeasible})
