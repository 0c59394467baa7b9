"""What a method reads of the training split beside its audio. A search looks for it before anything is trained.

This file does not import torch, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from raysearch.errors import InputError, counted
from raysearch.methods.method import Method

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

    from raysearch.corpora.corpus import Corpus

Need = Literal["speakers", "labels", "phones", "characters", "slots", "symbols"]
SYMBOLS: tuple[Need, ...] = ("phones", "characters", "symbols")
"""Needs of a method that reads what was said. `symbols` are phones, or characters if some cut has no phones."""


def needs_of(method: type[Method], settings: Any) -> tuple[Need, ...]:
    """What a method with these settings reads. A method without a function `needs` reads audio alone."""
    needs: Callable[[Any], tuple[Need, ...]] = getattr(method, "needs", lambda _: ())
    return needs(settings)


def asks_for_labels(method: type[Method], settings: Any) -> bool:
    """Whether a method with these settings asks for its label set. Control experiments may not."""
    when: Mapping[str, tuple[str, ...]] = getattr(method, "labels_when", {})
    return all(attrgetter(key)(settings) in values for key, values in when.items())


def has_rung_zero(method: type[Method]) -> bool:
    """Whether a method's student is a whole model before its first update, so that it can be judged then."""
    return getattr(method, "rung_zero", False)


def shares_one(method: type[Method], searched: Iterable[str]) -> bool:
    """Whether all trials of a method begin with one training, which is done before the first of them.

    It is so unless the search draws a setting that decides that training. Then a trial sees to its own, and shares it
    with those that drew the same. `searched` are the keys that the search draws.
    """
    groups: tuple[str, ...] = getattr(method, "shared", ())
    return bool(groups) and not any(key.partition(".")[0] in groups for key in searched)


def check_need(method: str, need: Need, corpus: Corpus) -> None:
    """Refuses a corpus whose training split lacks what a method reads. Raises: InputError naming the method."""
    cuts = list(corpus.splits["train"])
    where = f"method {method}: corpus {corpus.name}: split train"
    if need == "speakers":
        speakers = {cut.supervisions[0].speaker for cut in cuts} - {None}
        if len(speakers) < 2:
            raise InputError(f"{where}: {counted(len(speakers), 'speaker')}; expected two at least")
        return
    if need == "symbols":
        need = "phones" if all(map(_HAS["phones"], cuts)) else "characters"
    if lacking := [cut.id for cut in cuts if not _HAS[need](cut)]:
        raise InputError(
            f"{where}: {len(lacking):,} of {counted(len(cuts), 'cut')} without {need}, first {lacking[0]}; "
            "expected them in every cut"
        )


def _custom(cut: MonoCut, key: str) -> Any:
    return (cut.supervisions[0].custom or {}).get(key)


_HAS: dict[Need, Callable[[MonoCut], bool]] = {
    "labels": lambda cut: _custom(cut, "label") is not None,
    "phones": lambda cut: _custom(cut, "phones") is not None,
    "characters": lambda cut: cut.supervisions[0].text is not None,
    "slots": lambda cut: _custom(cut, "marked") is not None,
}
