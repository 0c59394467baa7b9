import torch

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import Waveform
from raysearch.tasks.layers import FrozenLayers

CPU = torch.device("cpu")


def test_layers_kept_or_recomputed_are_equal(encoder, corpus: Corpus) -> None:
    cuts = list(corpus.splits["train"])
    kept = FrozenLayers(encoder, cuts, AudioStore(), CPU)
    recomputed = FrozenLayers(encoder, cuts, AudioStore(), CPU, keep_bytes=0)
    asked = [cuts[5], cuts[2], cuts[17]]
    encoder.seen.clear()
    for a_LTD, b_LTD in zip(kept.of(asked), recomputed.of(asked), strict=True):
        torch.testing.assert_close(a_LTD, b_LTD)
    assert len(encoder.seen) == 3


def test_layers_are_normalised_and_unpadded(encoder, corpus: Corpus) -> None:
    cuts = list(corpus.splits["dev"])
    for cut, x_LTD in zip(cuts, FrozenLayers(encoder, cuts, AudioStore(), CPU).of(cuts), strict=True):
        assert x_LTD.shape == (2, cut.num_samples // 640, 16)
        marked_TD = x_LTD[1]
        # Half precision keeps three digits.
        torch.testing.assert_close(marked_TD.mean(-1), torch.zeros(len(marked_TD)), atol=1e-3, rtol=0)
        torch.testing.assert_close(marked_TD.var(-1, correction=0), torch.ones(len(marked_TD)), atol=1e-2, rtol=0)


def test_group_norm_encoder_sees_no_padding(encoder, corpus: Corpus) -> None:
    rows: list[tuple[int, int]] = []
    encoder.register_forward_pre_hook(lambda _, args: rows.append(tuple(args[0].shape)))
    cuts = list(corpus.splits["dev"])
    encoder.config = encoder.config.model_copy(update={"front_end": Waveform(norm="group")})
    FrozenLayers(encoder, cuts, AudioStore(), CPU)
    assert sorted(rows) == sorted((1, cut.num_samples) for cut in cuts)
