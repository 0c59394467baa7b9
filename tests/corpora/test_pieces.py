"""Pieces of training cuts: end to end they are the cuts, and dev and test stay whole."""

import numpy as np
import pytest

from raysearch.corpora.batches import load_audio
from raysearch.corpora.pieces import in_pieces


@pytest.mark.parametrize("piece_s", [0.25, 0.3, 7.0])
def test_pieces_end_to_end_then_the_cut(tones, piece_s):
    pieces = in_pieces(tones, piece_s)
    for cut in tones.splits["train"]:
        own = [piece for piece in pieces.splits["train"] if piece.id.startswith(f"{cut.id}:")]
        assert len(own) == max(1, round(cut.duration / piece_s))
        assert np.array_equal(np.concatenate([load_audio(piece) for piece in own]), load_audio(cut))
        assert {piece.supervisions[0].speaker for piece in own} == {cut.supervisions[0].speaker}


def test_pieces_then_dev_and_test_are_whole(tones):
    pieces = in_pieces(tones, 0.25)
    for split in ("dev", "test"):
        assert list(pieces.splits[split]) == list(tones.splits[split])


def test_no_pieces_asked_for_then_the_corpus_itself(tones):
    assert in_pieces(tones, 0) is tones
