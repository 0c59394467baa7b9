from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import Blocks, EncoderConfig, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.tasks import layers
from raysearch.tasks.layers import FrozenLayers

CPU = torch.device("cpu")


def test_layers_in_memory_in_a_file_or_recomputed_are_equal(
    encoder, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = list(corpus.splits["train"])
    kept = FrozenLayers(encoder, cuts, AudioStore(), CPU)
    filed = FrozenLayers(encoder, cuts, AudioStore(), CPU, memory_bytes=0)
    recomputed = FrozenLayers(encoder, cuts, AudioStore(), CPU, memory_bytes=0, file_bytes=0)
    monkeypatch.setattr(layers, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    without_room = FrozenLayers(encoder, cuts, AudioStore(), CPU, memory_bytes=0)
    asked = [cuts[5], cuts[2], cuts[17]]
    expected = kept.of(asked)
    for other, passes in ((filed, 0), (recomputed, 3), (without_room, 3)):
        encoder.seen.clear()
        for a_LTD, b_LTD in zip(expected, other.of(asked), strict=True):
            torch.testing.assert_close(a_LTD, b_LTD)
        assert len(encoder.seen) == passes


def test_file_of_layers_has_no_name(encoder, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "files"))
    cuts = list(corpus.splits["dev"])
    filed = FrozenLayers(encoder, cuts, AudioStore(), CPU, memory_bytes=0)
    assert not list((tmp_path / "files").iterdir())
    assert len(filed.of(cuts)) == len(cuts)


def test_layers_are_normalised_and_unpadded(encoder, corpus: Corpus) -> None:
    cuts = list(corpus.splits["dev"])
    for cut, x_LTD in zip(cuts, FrozenLayers(encoder, cuts, AudioStore(), CPU).of(cuts), strict=True):
        assert x_LTD.shape == (2, cut.num_samples // 640, 16)
        marked_TD = x_LTD[1]
        # Half precision keeps three digits.
        torch.testing.assert_close(marked_TD.mean(-1), torch.zeros(len(marked_TD)), atol=1e-3, rtol=0)
        torch.testing.assert_close(marked_TD.var(-1, correction=0), torch.ones(len(marked_TD)), atol=1e-2, rtol=0)


def test_layers_in_half_precision_then_near_those_in_full(corpus: Corpus) -> None:
    config = StudentSettings(depth=2, width=32, heads=2, channels=16, position_kernel=3).encoder()
    torch.manual_seed(0)
    encoder, cuts = Encoder(config).eval(), list(corpus.splits["dev"])
    full, half = (FrozenLayers(encoder, cuts, AudioStore(), CPU, precision).of(cuts) for precision in ("fp32", "bf16"))
    apart = [float((one_LTD - other_LTD).abs().max()) for one_LTD, other_LTD in zip(full, half, strict=True)]
    # bf16 holds 8 bits, so a value near 1 is rounded by up to 0.004, in every layer anew.
    assert 1e-3 < max(apart) < 0.1


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_layers_of_a_real_encoder_do_not_depend_on_the_batch(norm, corpus: Corpus) -> None:
    config = EncoderConfig(
        front_end=Waveform(channels=[8] * 7, norm=norm),
        width=16,
        position_conv=PositionConv(kernel=4),
        blocks=Blocks(count=1, heads=2, head_width=8, ffn=16),
    )
    encoder = Encoder(config).eval()
    cuts, store = list(corpus.splits["dev"]), AudioStore()
    together = FrozenLayers(encoder, cuts, store, CPU).of(cuts)
    for cut, x_LTD in zip(cuts, together, strict=True):
        (alone_LTD,) = FrozenLayers(encoder, [cut], store, CPU).of([cut])
        # Both were rounded to half precision, so they may land on neighbours.
        torch.testing.assert_close(x_LTD, alone_LTD, atol=4e-3, rtol=0)
