"""Kept log-mel bins: bit for bit what the front end computes, and the same training with them or without."""

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import AudioStore, TrainingBatches, UnreadableError
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import mel_frames
from raysearch.errors import WorkError
from raysearch.methods.settings import StudentSettings
from raysearch.targets import mels
from raysearch.targets.mels import Mels, mels_of
from raysearch.targets.store import FolderStore

torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "mels")


@pytest.mark.parametrize("centred", [False, True])
def test_batches_of_bins_then_the_hidden_states_of_batches_of_audio(tones, store, centred):
    config = StudentSettings(depth=1, width=16, heads=2, channels=8, position_kernel=3, centred=centred).encoder()
    encoder = Encoder(config).eval()
    kept = mels_of(tones, 80, store)
    cuts = tones.splits["train"]
    sources = (tones.audio, kept)
    by_audio, by_mels = (TrainingBatches(cuts, rows, 5.0, seed=0).from_step(0) for rows in sources)
    for _ in range(4):
        audio, bins = next(by_audio), next(by_mels)
        assert torch.equal(audio.samples_B, bins.samples_B)
        assert bins.audio_BS.ndim == 3
        one, other = encoder(audio.audio_BS, audio.samples_B), encoder(bins.audio_BS, bins.samples_B)
        valid_BT = torch.arange(one.output_BTD.shape[1]) < one.frames_B[:, None]
        assert torch.equal(one.frames_B, other.frames_B)
        # Some processors multiply a batch and a cut alone in another order, and so round otherwise.
        torch.testing.assert_close(one.output_BTD[valid_BT], other.output_BTD[valid_BT], rtol=0, atol=1e-4)


def test_bins_are_computed_once_for_a_corpus_and_a_number_of_bins(tones, store, monkeypatch):
    mels_of(tones, 80, store)
    mels_of(tones, 40, store)
    monkeypatch.setattr(mels, "_build", None)
    assert len(store.ls()) == 2
    mels_of(tones, 80, store)


def test_corpus_that_is_too_large_has_none_kept(tones, store, monkeypatch):
    monkeypatch.setattr(mels, "MOST_BYTES", 1000)
    assert mels_of(tones, 80, store) is None
    assert store.ls() == []


def test_cut_that_cannot_be_read_is_left_out_of_batches_as_without(tones, store):
    lost = next(iter(tones.splits["train"]))

    class Torn(AudioStore):
        def audio(self, cut):
            if cut.id == lost.id:
                raise UnreadableError("torn")
            return super().audio(cut)

    kept = mels_of(Corpus(tones.name, tones.splits, audio=Torn()), 80, store)
    with pytest.raises(UnreadableError, match=lost.id):
        kept.audio(lost)
    for cut in tones.splits["train"]:
        if cut.id != lost.id:
            assert np.isfinite(kept.audio(cut)).all()


@pytest.mark.parametrize(("name", "content"), [("mels.json", b"{"), ("mels.npy", b"")])
def test_damaged_bins_are_computed_again(tones, store, name, content):
    mels_of(tones, 80, store)
    (digest,) = store.ls()
    (store.folder / digest / name).write_bytes(content)
    with pytest.raises(WorkError, match=r"unreadable .*delete the folder"):
        Mels(store.folder / digest)
    cut = next(iter(tones.splits["train"]))
    assert len(mels_of(tones, 80, store).audio(cut)) == mel_frames(cut.num_samples)
