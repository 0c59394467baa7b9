"""What is kept of how a student was judged: its errors cut by cut, from which its error rate follows exactly.

Trials of one search are judged on the same cuts. So what they share, the basis, is told from what each one found.
Shapes: C cuts, N pairs, P students, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import nan
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeInt, TypeAdapter, ValidationError, model_validator

from raysearch.errors import InputError
from raysearch.evidence.equal_error import eer, resampled_eer
from raysearch.evidence.resampling import Floats, resampled, share
from raysearch.files.gzipped import read_gzip, write_gzip
from raysearch.files.whole import whole_file
from raysearch.settings import Outcome

FILE = "evidence.json.gz"
"""Name of the file in a trial's folder."""
SEED = 0
"""Seed of all differences. It is nobody's own: students are only compared if they are resampled alike."""
LEAST = 6
"""Least cuts or speakers from which a difference is told. By chance alone five lean to one side in one of 16 cases."""
_CLOSE = 1e-6
"""Percentage points by which a sum in another order may differ."""


class CutBasis(Outcome):
    """The cuts that students were judged on. Their error rate is the sum of errors over that of lengths."""

    kind: Literal["cuts"] = "cuts"
    cuts: tuple[str, ...] = Field(min_length=1)
    """Ids of the cuts."""
    lengths: tuple[NonNegativeInt, ...]
    """What is counted in each reference: words, phones, or 1 for the cut itself."""
    corpora: tuple[NonNegativeInt, ...] = ()
    """How many of the cuts, in their order, are of each of several joined corpora. The rate is then the mean of theirs.
    Empty for one corpus."""

    @model_validator(mode="after")
    def _fits(self) -> CutBasis:
        if len(self.lengths) != len(self.cuts) or (self.corpora and sum(self.corpora) != len(self.cuts)):
            raise ValueError(f"{len(self.cuts)} cuts; expected a length for each, and a corpus")
        return self

    @property
    def size(self) -> int:
        """Number of cuts."""
        return len(self.cuts)

    @property
    def units(self) -> int:
        """Number of cuts that are drawn from, in the smallest corpus."""
        return min(self.corpora or (self.size,))

    def value(self, found: Sequence[int]) -> float:
        """The error rate in percent of a student with so many errors in each cut."""
        return float(np.mean([share(counts_C2.sum(0)) for counts_C2 in self._counts(np.array(found))]))

    def resampled(self, found: Sequence[Sequence[int]]) -> Floats:
        """The error rates (R, P) of several students in the same resamples of the cuts."""
        return resampled(self._counts(np.array(found).T), share, seed=SEED)

    def _counts(self, errors_CP: np.ndarray) -> list[Floats]:
        """Errors and lengths (C, ..., 2) by corpus."""
        lengths_CP = np.broadcast_to(np.array(self.lengths)[(..., *[None] * (errors_CP.ndim - 1))], errors_CP.shape)
        counts_CP2 = np.stack([errors_CP, lengths_CP], axis=-1).astype(np.float64)
        edges = accumulate(self.corpora or (self.size,), initial=0)
        return [counts_CP2[start:end] for start, end in pairwise(edges)]


class PairBasis(Outcome):
    """The pairs of cuts that students were judged on. Their equal error rate follows from the ranks of the scores."""

    kind: Literal["pairs"] = "pairs"
    cuts: tuple[str, ...]
    """Ids of the cuts in the pairs."""
    speakers: tuple[str, ...]
    """Speaker of each cut."""
    one: tuple[NonNegativeInt, ...]
    """Place of each pair's first cut among the cuts."""
    other: tuple[NonNegativeInt, ...]
    """Place of its second cut."""
    same: tuple[bool, ...]
    """Whether each pair counts as one of one speaker."""

    @model_validator(mode="after")
    def _fits(self) -> PairBasis:
        lengths = {len(self.one), len(self.other), len(self.same)}
        if len(self.speakers) != len(self.cuts) or len(lengths) > 1 or len(set(self.same)) < 2:
            raise ValueError(f"{len(self.same)} pairs of {len(self.cuts)} cuts; expected whole pairs of both kinds")
        if max(*self.one, *self.other) >= len(self.cuts):
            raise ValueError(f"a pair of cut {max(*self.one, *self.other)}; expected {len(self.cuts)} cuts")
        return self

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.same)

    @property
    def units(self) -> int:
        """Number of speakers that are drawn from."""
        return int(self._speakers_N2().max()) + 1

    def value(self, found: Sequence[int]) -> float:
        """The equal error rate in percent of a student whose scores have these ranks."""
        return eer(np.array(found, np.float64), np.array(self.same, np.float64))

    def resampled(self, found: Sequence[Sequence[int]]) -> Floats:
        """The equal error rates (R, P) of several students in the same resamples of the speakers."""
        same_N = np.array(self.same, np.float64)
        return resampled_eer(np.array(found, np.float64), same_N, self._speakers_N2(), seed=SEED)

    def _speakers_N2(self) -> np.ndarray:
        """The speakers of each pair, numbered."""
        names_N2 = np.array(self.speakers)[np.array([self.one, self.other]).T]
        _, numbers = np.unique(names_N2, return_inverse=True)
        return numbers.reshape(-1, 2)


class Judged(Outcome):
    """How one student was judged on one split."""

    basis: Annotated[CutBasis | PairBasis, Field(discriminator="kind")]
    """What it was judged on."""
    found: tuple[NonNegativeInt, ...]
    """Errors in each cut; of pairs, the rank of each one's score among all, where equal scores have equal ranks."""

    @model_validator(mode="after")
    def _fits(self) -> Judged:
        if len(self.found) != self.basis.size:
            raise ValueError(f"{len(self.found)} figures; expected {self.basis.size}, one for each cut or pair")
        return self

    @property
    def value(self) -> float:
        """The error in percent."""
        return self.basis.value(self.found)


Evidence = dict[str, Judged]
"""How one student was judged, by the names of its errors in reports, such as `eval/per` and `test/per`."""
_EVIDENCE: TypeAdapter[Evidence] = TypeAdapter(Evidence)


@lru_cache(maxsize=2)
def resampled_together(basis: CutBasis | PairBasis, found: tuple[tuple[int, ...], ...]) -> Floats:
    """The errors (R, P) of students in the same resamples of what they were judged on.

    The latest are kept: whoever follows a search asks again and again, and the answer changes when a trial ends.
    """
    return basis.resampled(found)


def judged_cuts(
    cuts: Sequence[str], errors: Sequence[float], lengths: Sequence[float], corpora: Sequence[int] = ()
) -> Judged:
    """The errors of a student in each cut, beside the length of its reference."""
    several = tuple(corpora) if len(corpora) > 1 else ()
    basis = CutBasis(cuts=tuple(cuts), lengths=tuple(map(int, lengths)), corpora=several)
    return Judged(basis=basis, found=tuple(map(int, errors)))


def judged_pairs(
    cuts: Mapping[str, str], pairs: Sequence[tuple[str, str]], same_N: ArrayLike, scores_N: ArrayLike
) -> Judged:
    """The scores that a student gave to pairs of cuts, as ranks. `cuts` has the speaker of each cut by its id."""
    place = {cut: at for at, cut in enumerate(cuts)}
    basis = PairBasis(
        cuts=tuple(cuts),
        speakers=tuple(cuts.values()),
        one=tuple(place[one] for one, _ in pairs),
        other=tuple(place[other] for _, other in pairs),
        same=tuple(np.asarray(same_N, bool).tolist()),
    )
    return Judged(basis=basis, found=tuple(np.unique(scores_N, return_inverse=True)[1].tolist()))


def write_evidence(path: Path, evidence: Evidence) -> None:
    """Writes the file, in place of what an earlier rung or an earlier run left there."""
    with whole_file(path) as part:
        write_gzip(part, _EVIDENCE.dump_json(evidence))


def read_evidence(path: Path) -> Evidence:
    """What the file holds. It is empty if there is none, or if it is damaged: then intervals must do."""
    try:
        return _EVIDENCE.validate_json(read_gzip(path, "errors cut by cut"))
    except (InputError, ValidationError):
        return {}


def agreeing(evidence: Evidence, metrics: Mapping[str, float]) -> Evidence:
    """The part that tells of these metrics. A file that a killed run left behind may tell of another rung."""
    return {name: one for name, one in evidence.items() if abs(one.value - metrics.get(name, nan)) < _CLOSE}


class Shelf:
    """Bases that many students share, each of them once."""

    def __init__(self) -> None:
        self._numbers: dict[CutBasis | PairBasis, int] = {}

    @property
    def bases(self) -> list[CutBasis | PairBasis]:
        return list(self._numbers)

    def number(self, basis: CutBasis | PairBasis) -> int:
        """Number of a basis on the shelf, on which it is from now on."""
        return self._numbers.setdefault(basis, len(self._numbers))

    def sharing(self, evidence: Evidence) -> Evidence:
        """The evidence on the bases of the shelf, so that memory holds each basis once."""
        bases = {name: self.number(one.basis) for name, one in evidence.items()}
        kept = self.bases
        return {name: one.model_copy(update={"basis": kept[bases[name]]}) for name, one in evidence.items()}


class Packed(Outcome):
    """The evidence of many trials: each basis once, and what every trial found on it."""

    bases: list[Annotated[CutBasis | PairBasis, Field(discriminator="kind")]]
    """What trials were judged on."""
    trials: dict[int, dict[str, tuple[NonNegativeInt, tuple[NonNegativeInt, ...]]]]
    """Of each trial, by its number, and of each error, by its name: number of the basis, and what was found."""

    @classmethod
    def of(cls, evidence: Mapping[int, Evidence]) -> Packed:
        """Packs the evidence of trials, by their numbers."""
        shelf = Shelf()
        trials = {
            number: {name: (shelf.number(one.basis), one.found) for name, one in found.items()}
            for number, found in evidence.items()
            if found
        }
        return cls(bases=shelf.bases, trials=trials)

    @model_validator(mode="after")
    def _fits(self) -> Packed:
        for number in self.trials:
            self.of_trial(number)
        return self

    def of_trial(self, number: int) -> Evidence:
        """The evidence of a trial; empty if there is none. Raises: ValueError if it is on no basis."""
        found: Evidence = {}
        for name, (basis, figures) in self.trials.get(number, {}).items():
            if basis >= len(self.bases):
                raise ValueError(f"basis {basis} of trial {number}; expected one of {len(self.bases)}")
            # Checked without a copy: the basis stays the one that all trials share.
            if len(figures) != self.bases[basis].size:
                raise ValueError(f"{len(figures)} figures of trial {number}; expected {self.bases[basis].size}")
            found[name] = Judged.model_construct(basis=self.bases[basis], found=figures)
        return found
