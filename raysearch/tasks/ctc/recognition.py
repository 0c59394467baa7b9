"""What the recognition of words and of phones share: train heads, let the dev split choose one, count its errors.

Both use connectionist temporal classification (CTC): a symbol or a blank is read from each frame.
Shapes: C cuts, L layers, T frames, N frames of several cuts end to end, D width, V symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import jiwer
import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.corpora.batches import in_evaluation_order
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError, counted
from raysearch.tasks.ctc.tokens import (
    CtcHead,
    Tokens,
    Unit,
    count_infeasible,
    ctc_loss,
    greedy,
    is_labelled,
    pad,
    reference,
)
from raysearch.tasks.finetune import finetune
from raysearch.tasks.head import ChosenHead
from raysearch.tasks.interval import rate_interval
from raysearch.tasks.layers import encode
from raysearch.tasks.probe import Trained, probe
from raysearch.tasks.score import Score
from raysearch.tasks.settings import CtcSettings
from raysearch.tasks.task import Evaluated
from raysearch.training.process import gathered, own_share


@dataclass(frozen=True)
class Reading:
    """What one head read in a split, cut by cut."""

    references: list[list[str]]
    """Words or phones that were said in each cut."""
    hypotheses: list[list[str]]
    """Words or phones that the head read in each cut."""

    @property
    def collapsed(self) -> bool:
        """Whether the head read nothing but blanks. Then every error is a deletion, and the rate is 100 whatever the
        encoder."""
        return not any(self.hypotheses)

    def score(self, item: str, seed: int) -> Score:
        """The error rate of the corpus. `item` is the name of what is counted: `words` or `phones`."""
        aligned = jiwer.process_words(
            [" ".join(items) for items in self.references], [" ".join(items) for items in self.hypotheses]
        )
        # jiwer counts the errors of the whole corpus. The interval needs those of each cut.
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


class CtcLearner:
    """Teaches a CTC head what is said in the given cuts."""

    def __init__(self, tokens: Tokens, cuts: Iterable[MonoCut]) -> None:
        self._tokens = tokens
        self._targets = {cut.id: tokens.encode(cut) for cut in cuts}

    def head(self, layers: int, width: int) -> CtcHead:
        return CtcHead(layers, width, self._tokens.count)

    def count(self, cuts: Sequence[MonoCut]) -> int:
        return sum(len(self._targets[cut.id]) for cut in cuts)

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        return ctc_loss(pad(head(x_LND), frames), torch.tensor(frames), [self._targets[cut.id] for cut in cuts])


class CtcTask:
    """Trains CTC heads on the train split, chooses the learning rate on dev, and reads test only when asked.

    Cuts without a transcript are left out of every split. The detail `unlabelled` counts those of train, and the count
    `cuts` of a score says how many cuts it rests on.

    Cannot: use a language model; score a corpus without a dev split.
    """

    name: ClassVar[str]
    """Name of the task in a search document."""
    metric: ClassVar[str]
    """Name of the error in reports."""
    unit: ClassVar[Unit]
    """What the head reads: `characters` or `phones`."""
    item: ClassVar[str]
    """What the error rate counts: `words` or `phones`."""

    def __init__(self, settings: CtcSettings) -> None:
        self.settings = settings

    def evaluate(
        self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int, precision: str = "fp32"
    ) -> Evaluated:
        train, dev = self._labelled(corpus, "train"), self._labelled(corpus, "dev")
        held_out = self._labelled(corpus, "test") if test else []
        # A symbol that only dev or test has cannot be learned, so it must not become an output of the head.
        tokens = Tokens.from_cuts(train, self.unit)
        learn = probe if self.settings.mode == "probe" else finetune
        trained = learn(encoder, train, CtcLearner(tokens, train), self.settings, corpus.audio, device, seed, precision)
        readings = self._read(trained, tokens, corpus, dev, device, precision)
        scores = {lr: reading.score(self.item, seed) for lr, reading in readings.items()}
        # Of rates with the same error the lowest is taken, so that the choice depends on no order.
        best = min(scores, key=lambda lr: (scores[lr].value, lr))
        details = {
            "lr": best,
            "lr_at_edge": float(len(scores) > 1 and best in (min(scores), max(scores))),
            "collapsed": float(readings[best].collapsed),
            "unlabelled": float(len(corpus.splits["train"]) - len(train)),
            "infeasible": float(count_infeasible(encoder.config, train, tokens)),
        }
        details |= {f"at_lr_{lr:g}": score.value for lr, score in scores.items()}
        test_score = None
        if test:
            # The other heads never see test, so nothing can be chosen by it.
            chosen = replace(trained, heads={best: trained.heads[best]})
            readings = self._read(chosen, tokens, corpus, held_out, device, precision)
            test_score = readings[best].score(self.item, seed)
        # A probe leaves the student as it is, so only a fine-tuned copy is kept beside the head.
        tuned = trained.encoder if trained.encoder is not encoder else None
        head = trained.heads[best]
        assert isinstance(head, CtcHead)
        return Evaluated(scores[best], test_score, details, ChosenHead.of(head, tokens, tuned))

    def _labelled(self, corpus: Corpus, split: str) -> list[MonoCut]:
        cuts = corpus.splits.get(split, [])
        labelled = [cut for cut in cuts if is_labelled(cut, self.unit)]
        if not any(reference(cut, self.unit) for cut in labelled):
            where = f"task {self.name}: corpus {corpus.name}: split {split}"
            raise InputError(
                f"{where}: {counted(len(cuts), 'cut')}, none with {self.item}; expected cuts with {self.item}"
            )
        return labelled

    def _read(
        self,
        trained: Trained,
        tokens: Tokens,
        corpus: Corpus,
        cuts: Sequence[MonoCut],
        device: torch.device,
        precision: str,
    ) -> dict[float, Reading]:
        ordered = in_evaluation_order(cuts)
        read: dict[str, dict[float, list[str]]] = {}
        for cut, x_LTD in encode(trained.encoder, own_share(ordered), corpus.audio, device, precision):
            read[cut.id] = {}
            for lr, head in trained.heads.items():
                # Hidden states come in half precision, but heads are trained in full.
                with torch.no_grad():
                    logits_TV = head(x_LTD.float())
                (found,) = greedy(logits_TV[None], torch.tensor([len(logits_TV)]))
                read[cut.id][lr] = tokens.decode(found)
        read = gathered(read)
        # The order is the same in all processes, and so is the interval. A recording may have been unreadable.
        heard = [cut for cut in ordered if cut.id in read]
        references = [reference(cut, self.unit) for cut in heard]
        return {lr: Reading(references, [read[cut.id][lr] for cut in heard]) for lr in trained.heads}
