"""What classification and intents share: train heads, let the dev split choose one, count right readings by field.

A corpus may be several that were joined. Each of them then has a head of its own, and figures are means over them.

Shapes: C cuts, F fields, L layers, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import in_evaluation_order
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.settings import SPLITS
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.evidence.kept import judged_cuts
from raysearch.evidence.resampling import share
from raysearch.tasks.cut_texts import cut_texts
from raysearch.tasks.fields.confusion import Confusion
from raysearch.tasks.fields.counted import Counts, counted_interval
from raysearch.tasks.fields.fields import ABSENT, Fields, Values
from raysearch.tasks.fields.head import FieldHead, FieldLearner
from raysearch.tasks.finetune import finetune
from raysearch.tasks.head import ChosenHead, FieldHeadConfig
from raysearch.tasks.layers import encode
from raysearch.tasks.probe import Trained, drawing, probe
from raysearch.tasks.score import Score
from raysearch.tasks.settings import ClassificationSettings, IntentSettings
from raysearch.tasks.task import Evaluated
from raysearch.training.process import gathered, own_share

SIDES = ("references", "hypotheses")
"""The two sides of a reading, by their names in `FieldReadings`."""


@dataclass(frozen=True)
class FieldReadings:
    """What one head read in a split, cut by cut."""

    fields: Fields
    references: list[Values]
    """The values that each cut has."""
    hypotheses: list[Values]
    """The values that the head read in each cut."""
    cuts: list[MonoCut] = field(default_factory=list)
    """The cuts, where the errors and the texts of each are to be kept."""

    @property
    def errors(self) -> Counts:
        """One row for each cut: 1 if any field is wrong and else 0, and beside it 1 for the cut itself."""
        pairs = zip(self.references, self.hypotheses, strict=True)
        names = list(self.fields.values)
        return np.array([[any(ref.get(n, ABSENT) != hyp[n] for n in names), 1] for ref, hyp in pairs], dtype=float)

    @property
    def right(self) -> Counts:
        """One row for each cut: 1 if every field is right and else 0, and beside it 1 for the cut itself."""
        wrong_C, cuts_C = self.errors.T
        return np.stack([cuts_C - wrong_C, cuts_C], axis=1)


@dataclass(frozen=True)
class _Part:
    """A corpus, or one of several that were joined."""

    name: str
    cuts: Mapping[str, list[MonoCut]]
    """The labelled cuts of each split. Once a head is trained, `used` holds those of train that it was trained on."""
    values: Mapping[str, Values]
    """The fields' values of each training cut, by its id. Cuts of other splits may have the same ids."""


@dataclass(frozen=True)
class _Learned:
    """The heads that were trained on one part, and how they did on its dev split."""

    part: _Part
    fields: Fields
    trained: Trained
    dev: dict[float, FieldReadings]
    """What each head read in the dev split, by the head's learning rate."""
    lr: float
    """The learning rate that the dev split chose."""


@dataclass(frozen=True)
class _PartHeads:
    """The chosen heads of all parts, and what they confuse. It can be saved and drawn."""

    heads: Mapping[str, ChosenHead]
    confusions: Mapping[str, Confusion]

    def save(self, folder: Path) -> None:
        for name, head in self.heads.items():
            own = folder if len(self.heads) == 1 else folder / name
            head.save(own)
            if name in self.confusions:
                self.confusions[name].save(own)

    def draw(self, file: Path) -> None:
        """Draws the confusion into the file. If there are several parts, each has a picture beside that file."""
        for name, confusion in self.confusions.items():
            confusion.draw(file if len(self.heads) == 1 else file.with_stem(f"{file.stem}-{name}"))


class FieldTask:
    """Trains a head on the train split, chooses the learning rate on dev, and reads test only when asked.

    Cannot: read a value that train lacks, which is then an error of every encoder in dev and test; be exported where
    several corpora were joined.
    """

    name: ClassVar[str]
    """Name of the task in a search document."""
    metric: ClassVar[str] = "error"
    """Name of the error in reports."""
    key: ClassVar[str]
    """Name of the custom entry of a supervision without which a cut has no label."""

    def __init__(self, settings: ClassificationSettings | IntentSettings) -> None:
        self.settings = settings

    def values(self, cut: MonoCut) -> Values | None:
        """The value of each field of a cut. None if the cut has no label."""
        raise NotImplementedError

    @property
    def balanced(self) -> bool:
        """Whether all values of a field count the same while a head learns."""
        return False

    def figures(self, readings: Sequence[FieldReadings], seed: int) -> dict[str, Score]:
        """The figures that are reported beside the error. There is one reading for each joined corpus."""
        raise NotImplementedError

    def used(self, cuts: list[MonoCut], values: Mapping[str, Values], seed: int) -> list[MonoCut]:
        """The training cuts whose labels are used."""
        return cuts

    def check(self, corpus: Corpus, encoders: Sequence[AnyConfig]) -> list[str]:
        self._parts(corpus, test=True)
        return []

    def evaluate(
        self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int, precision: str = "fp32"
    ) -> Evaluated:
        learned = [self._learn(encoder, part, corpus, device, seed, precision) for part in self._parts(corpus, test)]
        dev = [one.dev[one.lr] for one in learned]
        tested = [self._test(one, corpus, device, precision) for one in learned] if test else []
        details = {"labels": float(sum(len(one.part.cuts["used"]) for one in learned))}
        for one in learned:
            details |= self._choices(one, f"{one.part.name}_" if len(learned) > 1 else "")
        names = [one.part.name for one in learned]
        heads = dict(zip(names, (self._head(one, encoder) for one in learned), strict=True))
        # Confusions are those of the test split, so there are none as long as only dev is read.
        confusions = {name: found for name, read in zip(names, tested, strict=False) if (found := _confusion(read))}
        test_score = self.score(names, tested, seed) if test else None
        kept = _PartHeads(heads, confusions)
        return Evaluated(self.score(names, dev, seed), test_score, details, kept, kept.draw)

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
        """The errors of an encoder with the head that was trained with it. Nothing is chosen on dev.

        Raises: InputError if the corpus is several joined ones.
        """
        assert isinstance(head.config, FieldHeadConfig)
        part, fields = self._one_part(corpus, test), _fields(head.config)
        trained = Trained(encoder, {0.0: head.module})
        readings = {
            split: self._read(trained, part, split, fields, corpus, device, precision)[0.0]
            for split in (["dev", "test"] if test else ["dev"])
        }
        scores = {split: self.score([part.name], [read], seed) for split, read in readings.items()}
        confusion = _confusion(readings["test"]) if test else None
        kept = _PartHeads({part.name: replace(head, tuned=None)}, {part.name: confusion} if confusion else {})
        details = {"labels": float(len(part.cuts["train"]))}
        return Evaluated(scores["dev"], scores.get("test"), details, kept, kept.draw)

    def new_head(self, corpus: Corpus, encoder: AnyConfig) -> ChosenHead:
        """A head that has learned nothing yet, for the labels of the training split.

        Raises: InputError if the corpus is several joined ones.
        """
        learner = self.learner(corpus)
        with drawing(0, torch.device("cpu")):
            return self._chosen(learner.fields, learner.head(encoder.depth + 1, encoder.width), None)

    def learner(self, corpus: Corpus, head: ChosenHead | None = None) -> FieldLearner:
        """The learner of all labels in train, for methods that train a student for the task.

        With a head the fields and values are those that it knows.

        Raises: InputError if the corpus is several joined ones.
        """
        part = self._one_part(corpus, test=False)
        values = {cut.id: part.values[cut.id] for cut in part.cuts["train"]}
        if head is None:
            return self._learner(values)
        assert isinstance(head.config, FieldHeadConfig)
        return FieldLearner(_fields(head.config), values, *self._shape, balanced=self.balanced)

    def suits(self, head: ChosenHead, corpus: Corpus) -> bool:
        """Whether a head is the task's own on this corpus: it decides the same fields among the same values."""
        config = head.config
        if not isinstance(config, FieldHeadConfig):
            return False
        mine = (self.learner(corpus).fields, *self._shape)
        return mine == (_fields(config), config.pooling, config.segments, config.units)

    def _one_part(self, corpus: Corpus, test: bool) -> _Part:
        (part, *others) = self._parts(corpus, test)
        if others:
            raise InputError(f"task {self.name}: corpus {corpus.name}: several corpora; expected one for this method")
        return part

    def _learner(self, values: Mapping[str, Values]) -> FieldLearner:
        fields = Fields.from_values(values.values())
        return FieldLearner(fields, values, *self._shape, balanced=self.balanced)

    @property
    def _shape(self) -> tuple[Literal["attention", "mean+max"], int, int | None]:
        """What a head is built from, beside the encoder's shape and the fields."""
        settings = self.settings
        return settings.pooling, settings.segments, settings.head_width if settings.head == "superb" else None

    def _parts(self, corpus: Corpus, test: bool) -> list[_Part]:
        found: dict[str, dict[str, list[MonoCut]]] = {}
        values: dict[str, dict[str, Values]] = {}
        for split in SPLITS:
            for cut in corpus.splits.get(split, []):
                own = self.values(cut)
                if own is not None:
                    # Where corpora were joined, each cut says which one it is from.
                    name = (cut.supervisions[0].custom or {}).get("corpus", corpus.name)
                    found.setdefault(name, {}).setdefault(split, []).append(cut)
                    if split == "train":
                        values.setdefault(name, {})[cut.id] = own
        for split in SPLITS if test else SPLITS[:-1]:
            if not found or any(split not in cuts for cuts in found.values()):
                where = f"task {self.name}: corpus {corpus.name}: split {split}"
                raise InputError(f"{where}: no labelled cut; expected cuts with custom.{self.key}")
        return [_Part(name, cuts, values[name]) for name, cuts in found.items()]

    def _learn(
        self, encoder: Encoder, part: _Part, corpus: Corpus, device: torch.device, seed: int, precision: str
    ) -> _Learned:
        used = self.used(part.cuts["train"], part.values, seed)
        part = replace(part, cuts={**part.cuts, "used": used})
        learner = self._learner({cut.id: part.values[cut.id] for cut in used})
        fields = learner.fields
        learn = probe if self.settings.mode == "probe" else finetune
        trained = learn(encoder, used, learner, self.settings, corpus.audio, device, seed, precision)
        dev = self._read(trained, part, "dev", fields, corpus, device, precision)
        errors = {lr: float(share(readings.errors.sum(0))) for lr, readings in dev.items()}
        # Of rates with the same error the lowest is taken, so that the choice depends on no order.
        return _Learned(part, fields, trained, dev, min(errors, key=lambda lr: (errors[lr], lr)))

    def _read(
        self,
        trained: Trained,
        part: _Part,
        split: str,
        fields: Fields,
        corpus: Corpus,
        device: torch.device,
        precision: str,
    ) -> dict[float, FieldReadings]:
        ordered = in_evaluation_order(part.cuts[split])
        read: dict[str, dict[float, Values]] = {}
        for cut, x_LTD in encode(trained.encoder, own_share(ordered), corpus.audio, device, precision):
            read[cut.id] = {}
            for lr, head in trained.heads.items():
                assert isinstance(head, FieldHead)
                with torch.no_grad():
                    (best_F,) = head.best(head(x_LTD.float(), [x_LTD.shape[1]])).tolist()
                read[cut.id][lr] = fields.decode(best_F)
        read = gathered(read)
        # The order is the same in all processes, and so is the interval. A recording may have been unreadable.
        heard = [cut for cut in ordered if cut.id in read]
        # Every cut of a part has values. The part holds those of train alone, as other splits may share ids.
        references = [own for cut in heard if (own := self.values(cut)) is not None]
        return {
            lr: FieldReadings(fields, references, [read[cut.id][lr] for cut in heard], heard) for lr in trained.heads
        }

    def _test(self, one: _Learned, corpus: Corpus, device: torch.device, precision: str) -> FieldReadings:
        # The other heads never see test, so nothing can be chosen by it.
        chosen = replace(one.trained, heads={one.lr: one.trained.heads[one.lr]})
        return self._read(chosen, one.part, "test", one.fields, corpus, device, precision)[one.lr]

    def score(self, names: Sequence[str], readings: Sequence[FieldReadings], seed: int) -> Score:
        """The error of what was read, with the figures beside it. There is one name and one reading for each corpus."""
        errors = [each.errors for each in readings]
        others = self.figures(readings, seed)
        if len(names) > 1:
            own = zip(names, errors, strict=True)
            others |= {f"error_{name}": counted_interval([error], share, seed=seed) for name, error in own}
        cuts = [cut for each in readings for cut in each.cuts]
        wrong_C, cuts_C = np.concatenate(errors).T
        judged = judged_cuts([cut.id for cut in cuts], wrong_C, cuts_C, [len(each) for each in errors])
        said, read = ([_said(one) for each in readings for one in getattr(each, side)] for side in SIDES)
        texts = cut_texts(cuts, said, read)
        return replace(counted_interval(errors, share, seed=seed), others=others, judged=judged, texts=texts)

    def _choices(self, one: _Learned, prefix: str) -> dict[str, float]:
        at = {f"{prefix}at_lr_{lr:g}": float(share(readings.errors.sum(0))) for lr, readings in one.dev.items()}
        at_edge = len(at) > 1 and one.lr in (min(one.dev), max(one.dev))
        return {f"{prefix}lr": one.lr, f"{prefix}lr_at_edge": float(at_edge), **at}

    def _head(self, one: _Learned, encoder: Encoder) -> ChosenHead:
        head = one.trained.heads[one.lr]
        assert isinstance(head, FieldHead)
        return self._chosen(one.fields, head, one.trained.encoder if one.trained.encoder is not encoder else None)

    def _chosen(self, fields: Fields, head: FieldHead, tuned: Encoder | None) -> ChosenHead:
        pooling, segments, units = self._shape
        config = FieldHeadConfig(
            fields={name: list(values) for name, values in fields.values.items()},
            pooling=pooling,
            segments=segments,
            units=units,
            layers=head.layers,
            width=head.width,
        )
        return ChosenHead(config, head, tuned)


def _said(values: Values) -> list[str]:
    """The fields that are there as texts such as `action=deactivate`; of a label alone its value."""
    if set(values) == {"label"}:
        return [values["label"]]
    return [f"{name}={value}" for name, value in values.items() if value != ABSENT]


def _fields(config: FieldHeadConfig) -> Fields:
    return Fields({name: tuple(values) for name, values in config.fields.items()})


def _confusion(readings: FieldReadings) -> Confusion | None:
    """The confusion of the first field. None if the field has fewer than two values."""
    name, classes = next(iter(readings.fields.values.items()))
    if len(classes) < 2:
        return None
    pairs = zip(readings.references, readings.hypotheses, strict=True)
    return Confusion.of(name, classes, [(ref.get(name, ABSENT), hyp[name]) for ref, hyp in pairs])
