"""What methods read beside audio, and corpora that lack it."""

import pytest

from raysearch.errors import InputError
from raysearch.methods.needs import check_need, needs_of
from raysearch.methods.table import METHODS, load_method
from tests.corpora.made_up_corpora import corpus, cut

READ = {
    "hjpruning": ("symbols",),
    **dict.fromkeys(("oskdft", "kd-then-ft", "ft-only"), ("speakers",)),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_reads_beside_audio(name: str) -> None:
    method = load_method(name)
    assert needs_of(method, method.Settings()) == READ.get(name, ())


def test_needs_follow_the_settings() -> None:
    pruning, unfused = load_method("hjpruning"), load_method("unfused")
    assert needs_of(pruning, pruning.Settings.checked({"ctc": {"unit": "phones"}})) == ("phones",)
    assert needs_of(unfused, unfused.Settings.checked({"distillation": {"control": "oracle"}})) == ("labels",)


@pytest.mark.parametrize(
    ("need", "cuts", "fault"),
    [
        ("speakers", [cut("a", speaker="x"), cut("b")], "1 speaker; expected two at least"),
        ("labels", [cut("a", label="x"), cut("b")], "1 of 2 cuts without labels, first b"),
        ("characters", [cut("a", text="A"), cut("b")], "1 of 2 cuts without characters, first b"),
        # Phones of some cuts alone are not read: then all must have a transcript.
        ("symbols", [cut("a", phones=["A"]), cut("b", text="B")], "1 of 2 cuts without characters, first a"),
    ],
)
def test_corpus_that_lacks_it_is_refused(need, cuts, fault) -> None:
    with pytest.raises(InputError, match=f"^method m: corpus made-up: split train: {fault}"):
        check_need("m", need, corpus(cuts))


def test_corpus_that_has_it_is_taken() -> None:
    check_need("m", "symbols", corpus([cut("a", phones=["A"]), cut("b", phones=["B"])]))
    check_need("m", "speakers", corpus([cut("a", speaker="x"), cut("b", speaker="y")]))
