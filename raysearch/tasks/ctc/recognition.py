"""What the recognition of words and of phones share: train heads, let the dev split choose one, count its errors.

Both use connectionist temporal classification (CTC): a symbol or a blank is read from each frame.
Shapes: C cuts, L layers, T frames, N frames of several cuts end to end, D width, V symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import jiwer
import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.corpora.batches import AudioStore, in_evaluation_order
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.settings import SPLITS
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError, counted
from raysearch.evidence.kept import judged_cuts
from raysearch.tasks.ctc.fit import check_fit
from raysearch.tasks.ctc.superb_heads import RecurrentHead
from raysearch.tasks.ctc.tokens import (
    Tokens,
    Unit,
    count_infeasible,
    ctc_loss,
    greedy,
    is_labelled,
    pad,
    reference,
)
from raysearch.tasks.cut_texts import cut_texts
from raysearch.tasks.finetune import finetune
from raysearch.tasks.head import AnyCtcHead, ChosenHead, CtcHeadConfig
from raysearch.tasks.interval import rate_interval
from raysearch.tasks.layers import at_rest, encode, states_for
from raysearch.tasks.probe import Trained, drawing, probe
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
    cuts: list[MonoCut] = field(default_factory=list)
    """The cuts, where the errors and the texts of each are to be kept."""

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
        lengths_C = [len(items) for items in self.references]
        score = rate_interval(errors_C, lengths_C, seed=seed)
        counts = {
            item: sum(lengths_C),
            "substitutions": aligned.substitutions,
            "deletions": aligned.deletions,
            "insertions": aligned.insertions,
        }
        score = replace(score, counts=score.counts | counts)
        if not self.cuts:
            return score
        judged = judged_cuts([cut.id for cut in self.cuts], errors_C, lengths_C)
        return replace(score, judged=judged, texts=cut_texts(self.cuts, self.references, self.hypotheses))


class CtcLearner:
    """Teaches a CTC head what is said in the given cuts. `units` are those of SUPERB's head; a linear head has none."""

    def __init__(self, tokens: Tokens, cuts: Iterable[MonoCut], units: int | None = None) -> None:
        self._tokens, self._units = tokens, units
        self._targets = {cut.id: tokens.encode(cut) for cut in cuts}

    def head(self, layers: int, width: int) -> AnyCtcHead:
        return self.config(layers, width).build()

    def config(self, layers: int, width: int) -> CtcHeadConfig:
        """What is kept of a head beside its weights."""
        return CtcHeadConfig(
            unit=self._tokens.unit, symbols=list(self._tokens.symbols), units=self._units, layers=layers, width=width
        )

    def count(self, cuts: Sequence[MonoCut]) -> int:
        return sum(len(self._targets[cut.id]) for cut in cuts)

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        return ctc_loss(
            pad(logits(head, x_LND, frames), frames), torch.tensor(frames), [self._targets[cut.id] for cut in cuts]
        )


def logits(head: nn.Module, x_LND: Tensor, frames: Sequence[int]) -> Tensor:
    """The logits of each frame (N, V). The cuts lie end to end and have so many frames each."""
    # Only a recurrent head must know where a cut ends.
    found: Tensor = head(x_LND, frames) if isinstance(head, RecurrentHead) else head(x_LND)
    return found


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
    """What the head reads."""
    item: ClassVar[str]
    """What the cuts that are read must have, for messages, and what an error rate counts: `words` or `phones`."""

    def __init__(self, settings: CtcSettings) -> None:
        self.settings = settings

    def check(self, corpus: Corpus, encoders: Sequence[AnyConfig]) -> list[str]:
        for split in SPLITS:
            self._labelled(corpus, split)
        return check_fit(f"task {self.name}", corpus, self.unit, encoders)

    def evaluate(
        self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int, precision: str = "fp32"
    ) -> Evaluated:
        train, dev = self._labelled(corpus, "train"), self._labelled(corpus, "dev")
        held_out = self._labelled(corpus, "test") if test else []
        # A symbol that only dev or test has cannot be learned, so it must not become an output of the head.
        tokens = Tokens.from_cuts(train, self.unit)
        learn = probe if self.settings.mode == "probe" else finetune
        learner = CtcLearner(tokens, train, self._units)
        trained = learn(encoder, train, learner, self.settings, corpus.audio, device, seed, precision)
        readings = read(trained, tokens, dev, corpus.audio, device, precision)
        scores = {lr: self.score(reading, seed) for lr, reading in readings.items()}
        # Of rates with the same error the lowest is taken, so that the choice depends on no order.
        best = min(scores, key=lambda lr: (scores[lr].value, lr))
        details = {
            "lr": best,
            "lr_at_edge": float(len(scores) > 1 and best in (min(scores), max(scores))),
            **_details(readings[best], encoder, corpus, train, tokens),
        }
        details |= {f"at_lr_{lr:g}": score.value for lr, score in scores.items()}
        test_score = None
        if test:
            # The other heads never see test, so nothing can be chosen by it.
            chosen = replace(trained, heads={best: trained.heads[best]})
            readings = read(chosen, tokens, held_out, corpus.audio, device, precision)
            test_score = self.score(readings[best], seed)
        # A probe leaves the student as it is, so only a fine-tuned copy is kept beside the head.
        tuned = trained.encoder if trained.encoder is not encoder else None
        config = learner.config(encoder.config.depth + 1, encoder.config.width)
        return Evaluated(scores[best], test_score, details, ChosenHead(config, trained.heads[best], tuned))

    def judge(
        self,
        encoder: Encoder,
        head: ChosenHead,
        corpus: Corpus,
        *,
        test: bool,
        device: torch.device,
        seed: int,
        precision: str = "fp32",
    ) -> Evaluated:
        """The errors of an encoder with the head that was trained with it. Nothing is chosen on dev."""
        assert isinstance(head.config, CtcHeadConfig)
        tokens, train = head.config.tokens, self._labelled(corpus, "train")
        trained = Trained(encoder, {0.0: head.module})
        readings = {
            split: read(trained, tokens, self._labelled(corpus, split), corpus.audio, device, precision)[0.0]
            for split in (["dev", "test"] if test else ["dev"])
        }
        scores = {split: self.score(reading, seed) for split, reading in readings.items()}
        details = _details(readings["dev"], encoder, corpus, train, tokens)
        return Evaluated(scores["dev"], scores.get("test"), details, replace(head, tuned=None))

    def score(self, reading: Reading, seed: int) -> Score:
        """The error of what was read."""
        return reading.score(self.item, seed)

    def new_head(self, corpus: Corpus, encoder: AnyConfig) -> ChosenHead:
        """A head that has learned nothing yet, for the symbols of the training split."""
        tokens = Tokens.from_cuts(self._labelled(corpus, "train"), self.unit)
        config = CtcLearner(tokens, [], self._units).config(encoder.depth + 1, encoder.width)
        with drawing(0, torch.device("cpu")):
            return ChosenHead(config, config.build(), None)

    def learner(self, corpus: Corpus, head: ChosenHead) -> CtcLearner:
        """What teaches this head what is said in the training split."""
        assert isinstance(head.config, CtcHeadConfig)
        return CtcLearner(head.config.tokens, self._labelled(corpus, "train"), head.config.units)

    def suits(self, head: ChosenHead, corpus: Corpus) -> bool:
        """Whether a head can learn the task on this corpus: it is the kind of head that the settings ask for, reads the
        task's unit and knows all symbols of train.
        """
        if not isinstance(head.config, CtcHeadConfig) or head.config.unit != self.unit:
            return False
        if head.config.units != self._units:
            return False
        spoken = Tokens.from_cuts(self._labelled(corpus, "train"), self.unit)
        return set(spoken.symbols) <= set(head.config.symbols)

    @property
    def _units(self) -> int | None:
        return self.settings.head_width if self.settings.head == "superb" else None

    def _labelled(self, corpus: Corpus, split: str) -> list[MonoCut]:
        cuts = corpus.splits.get(split, [])
        labelled = [cut for cut in cuts if is_labelled(cut, self.unit)]
        if not any(reference(cut, self.unit) for cut in labelled):
            where = f"task {self.name}: corpus {corpus.name}: split {split}"
            raise InputError(
                f"{where}: {counted(len(cuts), 'cut')}, none with {self.item}; expected cuts with {self.item}"
            )
        return labelled


def read(
    trained: Trained,
    tokens: Tokens,
    cuts: Sequence[MonoCut],
    audio: AudioStore,
    device: torch.device,
    precision: str = "fp32",
) -> dict[float, Reading]:
    """What each head reads in these cuts, by the head's learning rate. All heads read the same of the encoder.

    Several processes share the cuts out, and all get the whole.
    """
    ordered = in_evaluation_order(cuts)
    states = states_for(next(iter(trained.heads.values())))
    found: dict[str, dict[float, list[str]]] = {}
    for cut, x_LTD in encode(trained.encoder, own_share(ordered), audio, device, precision, states):
        found[cut.id] = {}
        for lr, head in trained.heads.items():
            # Hidden states come in half precision, but heads are trained in full.
            with at_rest(head):
                logits_TV = logits(head, x_LTD.float(), [x_LTD.shape[1]])
            (best,) = greedy(logits_TV[None], torch.tensor([len(logits_TV)]))
            found[cut.id][lr] = tokens.decode(best)
    found = gathered(found)
    # The order is the same in all processes, and so is the interval. A recording may have been unreadable.
    heard = [cut for cut in ordered if cut.id in found]
    references = [reference(cut, tokens.unit) for cut in heard]
    return {lr: Reading(references, [found[cut.id][lr] for cut in heard], heard) for lr in trained.heads}


def _details(
    reading: Reading, encoder: Encoder, corpus: Corpus, train: Sequence[MonoCut], tokens: Tokens
) -> dict[str, float]:
    return {
        "collapsed": float(reading.collapsed),
        "unlabelled": float(len(corpus.splits["train"]) - len(train)),
        "infeasible": float(count_infeasible(encoder.config, train, tokens)),
    }
