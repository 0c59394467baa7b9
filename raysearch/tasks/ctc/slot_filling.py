"""The task `slots`: a CTC head reads words and the marks of slots among them, such as `PLAY <artist>QUEEN</artist>`.

Source: SUPERB's slot filling (Yang et al., Interspeech 2021), as s3prl has it at commit ec8064b: `downstream/ctc`,
where `text.py` has two symbols for each kind of slot and `metric.py` the figures.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import jiwer
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from raysearch.errors import InputError
from raysearch.evidence.kept import judged_cuts
from raysearch.tasks.ctc.recognition import CtcTask, Reading
from raysearch.tasks.ctc.tokens import MARK, reference
from raysearch.tasks.cut_texts import cut_texts
from raysearch.tasks.interval import rate_interval
from raysearch.tasks.score import Score

PARTS = 720_720
"""Parts of a cut in which its error is counted. All numbers up to 16 divide it, so that F1 of a cut is whole as long as
no more than 16 kinds of slots were said and read in it together."""
_SLOT = re.compile(r"<([^</>]+)> *([^ ].*?) *</\1>")

Slots = Mapping[str, list[str]]
"""The values of each kind of slot, in their order."""


class SlotFilling(CtcTask):
    """Recognition of words and of the slots among them. The error is 100 less the F1 of kinds of slots.

    F1 is that of each cut, and its mean over cuts: which kinds were said and which were read, however often. It is 1
    where neither has any. Beside it stand `slot_type_f1` and `slot_value_cer`: the edits of characters over the
    characters of all values that were said, each beside the nearest value that was read of its kind, or beside nothing.
    """

    name = "slots"
    metric = "error"
    unit = "slots"
    item = "slots"

    def score(self, reading: Reading, seed: int) -> Score:
        return slot_score(reading, seed)

    def _labelled(self, corpus: Corpus, split: str) -> list[MonoCut]:
        cuts = super()._labelled(corpus, split)
        if not any(slots_in(reference(cut, self.unit)) for cut in cuts):
            where = f"task {self.name}: corpus {corpus.name}: split {split}"
            raise InputError(f"{where}: no slot in custom.marked; expected some such as <artist>QUEEN</artist>")
        return cuts


def slots_in(items: Sequence[str]) -> Slots:
    """The slots of what was said or read. A slot begins with the first mark of its kind and ends with the next that
    ends it. Marks in between are left out, and a slot without a word is none.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name, inside in _SLOT.findall(" ".join(items)):
        if value := " ".join(MARK.sub("", inside).split()):
            found[name].append(value)
    return dict(found)


def slot_score(reading: Reading, seed: int) -> Score:
    """The error of a reading, with its figures and what is kept of it cut by cut."""
    pairs = [
        (slots_in(said), slots_in(read)) for said, read in zip(reading.references, reading.hypotheses, strict=True)
    ]
    errors_C, parts_C = [round(PARTS * (1 - _f1(said, read))) for said, read in pairs], [PARTS] * len(pairs)
    edits_C = [
        sum(_edits(value, read.get(name, [])) for name, values in said.items() for value in values)
        for said, read in pairs
    ]
    lengths_C = [sum(len(value) for values in said.values() for value in values) for said, _ in pairs]
    error = rate_interval(errors_C, parts_C, seed=seed)
    others = {"slot_type_f1": Score(100 - error.value, 100 - error.high, 100 - error.low, error.counts)}
    if any(lengths_C):
        others["slot_value_cer"] = rate_interval(edits_C, lengths_C, seed=seed)
    error = replace(error, others=others)
    if not reading.cuts:
        return error
    judged = judged_cuts([cut.id for cut in reading.cuts], errors_C, parts_C)
    return replace(error, judged=judged, texts=cut_texts(reading.cuts, reading.references, reading.hypotheses))


def _f1(said: Slots, read: Slots) -> float:
    both = len(said.keys() & read.keys())
    return 2 * both / (len(said) + len(read)) if said or read else 1.0


def _edits(value: str, read: Sequence[str]) -> int:
    """Edits of characters from a value to the nearest that was read; all its characters if none was."""
    found = [jiwer.process_characters(value, one) for one in read]
    return min((one.substitutions + one.deletions + one.insertions for one in found), default=len(value))
