import pytest

from raysearch.corpora.corpus import Corpus
from raysearch.tasks.optimiser import ramp
from raysearch.tasks.probe import draw


def test_draw_takes_each_cut_once_before_any_again(corpus: Corpus) -> None:
    cuts = list(corpus.splits["train"])
    drawn = [cut.id for batch in draw(cuts, 1.0, 200, seed=0) for cut in batch]
    epochs = [sorted(drawn[i : i + 24]) for i in range(0, len(drawn) - 23, 24)]
    assert len(epochs) > 2
    assert all(epoch == sorted(cut.id for cut in cuts) for epoch in epochs)


def test_draw_batches_reach_their_seconds_and_no_more_than_a_cut_above(corpus: Corpus) -> None:
    for batch in draw(list(corpus.splits["train"]), 1.0, 20, seed=0):
        assert sum(cut.duration for cut in batch[:-1]) < 1.0 <= sum(cut.duration for cut in batch)


def test_draw_depends_on_seed_only(corpus: Corpus) -> None:
    cuts = list(corpus.splits["train"])
    first, again, other = ([[cut.id for cut in b] for b in draw(cuts, 1.0, 5, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_ramp_rises_to_one_and_falls_towards_zero() -> None:
    assert [ramp(step, 120) for step in (0, 4, 9, 10, 65, 119)] == pytest.approx([0.1, 0.5, 1, 1, 0.5, 1 / 110])


def test_ramp_single_update_is_at_full_rate() -> None:
    assert ramp(0, 1) == 1
