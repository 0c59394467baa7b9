"""Kept hidden states: those of the teacher up to fp16, asked for once, made again where they are damaged."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import AudioStore, TrainingBatches, UnreadableError
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import valid_mask
from raysearch.errors import WorkError
from raysearch.methods.features.regression import TeacherBatches
from raysearch.methods.settings import StudentSettings
from raysearch.targets import kept_features as room
from raysearch.targets.kept_features import FeatureKey, KeptLayer, features_bytes, kept_features, missing_layers
from raysearch.targets.store import FolderStore
from raysearch.training.monitoring.progress import heard_by

torch.set_num_threads(1)

CPU = torch.device("cpu")
ROUNDING = 2.0**-11
"""Largest change that fp16 makes to a number, as a share of it: it has eleven binary digits."""


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "features")


def kept(layers, teacher, corpus, store):
    return kept_features(layers, teacher, corpus, store, CPU, batch_s=5.0)


def student(front_end):
    shape = {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}
    return Encoder(StudentSettings(**shape, front_end=front_end).encoder()).eval()


@pytest.mark.parametrize("front_end", ["logmel-25hz", "logmel-50hz"])
@pytest.mark.parametrize("raw", [True, False])
def test_targets_of_kept_states_then_those_of_the_teacher_up_to_fp16(tones, small_teacher, store, front_end, raw):
    pupil, encoder, layers = student(front_end), small_teacher.encoder, [0, 2] if raw else [1, 2]
    found = kept(layers, small_teacher, tones, store)
    asking, reading = (TeacherBatches(pupil, encoder, layers, "fp32", raw=raw, kept=one) for one in (None, found))
    for batch in islice(TrainingBatches(tones.splits["train"], tones.audio, 5.0, seed=0).from_step(0), 3):
        one, other = asking(0, batch), reading(0, batch)
        valid_BT = valid_mask(pupil.frames(batch.samples_B), one["targets_LBTW"].shape[2])
        assert one["targets_LBTW"].shape == other["targets_LBTW"].shape
        asked_LXW, read_LXW = one["targets_LBTW"][:, valid_BT], other["targets_LBTW"][:, valid_BT]
        # Batches that are padded in other ways differ by 1e-5. LayerNorm spreads what was rounded over a frame.
        assert torch.allclose(read_LXW, asked_LXW, rtol=ROUNDING, atol=1e-5 if raw else 2 * ROUNDING)
        assert not torch.equal(read_LXW, asked_LXW)


def test_batches_of_bins_then_the_same_targets_as_of_audio(tones, small_teacher, store):
    bins = {cut.id: np.zeros(((cut.num_samples - 400) // 160 + 1, 80), np.float32) for cut in tones.splits["train"]}

    class Bins:
        def audio(self, cut):
            return bins[cut.id]

    found = kept([1], small_teacher, tones, store)
    prepare = TeacherBatches(student("logmel-25hz"), small_teacher.encoder, [1], "fp32", kept=found)
    sources = (tones.audio, Bins())
    by_audio, by_bins = (
        next(TrainingBatches(tones.splits["train"], rows, 5.0, seed=0).from_step(0)) for rows in sources
    )
    assert torch.equal(prepare(0, by_audio)["targets_LBTW"], prepare(0, by_bins)["targets_LBTW"])


def test_teacher_is_asked_once_and_only_for_layers_that_are_missing(tones, small_teacher, store, monkeypatch):
    built, said, plain = [], [], room._build

    def counting(folders, *rest):
        built.append([key.layer for key in folders.values()])
        plain(folders, *rest)

    monkeypatch.setattr(room, "_build", counting)
    with heard_by(lambda *words: said.append(words)):
        kept([2, 1, 1], small_teacher, tones, store)
    assert [sorted(layers) for layers in built] == [[1, 2]]
    assert said[0][:4] == ("teacher features", 0, 10, "cuts")
    assert said[-1][:4] == ("teacher features", 10, 10, "cuts")
    assert missing_layers([0, 2, 2, 1], small_teacher, tones, store) == [0]
    kept([1], small_teacher, tones, store)
    kept([1, 0], small_teacher, tones, store)
    assert built[1:] == [[0]]
    assert len(store.ls()) == 3


def test_layers_come_in_the_order_in_which_they_were_asked_for(tones, small_teacher, store):
    cuts = list(tones.splits["train"])[:2]
    one, other = (kept(layers, small_teacher, tones, store).batch(cuts, 200)[0] for layers in ([1, 2], [2, 1]))
    assert torch.equal(one.flip(0), other)
    assert one.abs().sum() > 0


def test_key_changes_with_teacher_layer_and_corpus():
    key = FeatureKey("t", 1, "c")
    others = [replace(key, teacher="u"), replace(key, layer=2), replace(key, corpus="d")]
    assert len({one.digest for one in (key, *others)}) == 4


def test_size_is_told_before_anything_is_kept(tones, small_teacher, store):
    kept([1], small_teacher, tones, store)
    (digest,) = store.ls()
    layer = KeptLayer(store.folder / digest)
    samples = [cut.num_samples for cut in tones.splits["train"]]
    assert features_bytes(small_teacher.encoder.config, samples) == layer.document()["bytes"]
    assert layer.document()["bytes"] == (store.folder / digest / "states.fp16").stat().st_size
    assert layer.document()["cuts"] == 10


def test_numbers_beyond_fp16_are_kept_as_closely_as_others(tones, small_teacher, store):
    encoder = small_teacher.encoder
    with torch.no_grad():
        encoder.projection.weight.mul_(1e6)
    batch = next(TrainingBatches(tones.splits["train"], tones.audio, 5.0, seed=0).from_step(0))
    pupil = student("logmel-25hz")
    asked, read = (
        TeacherBatches(pupil, encoder, [0], "fp32", raw=True, kept=one)(0, batch)["targets_LBTW"]
        for one in (None, kept([0], small_teacher, tones, store))
    )
    valid_BT = valid_mask(pupil.frames(batch.samples_B), asked.shape[2])
    assert asked[:, valid_BT].abs().max() > 65_504
    assert torch.allclose(read[:, valid_BT], asked[:, valid_BT], rtol=2 * ROUNDING, atol=1.0)


@pytest.mark.parametrize(("name", "content"), [("features.json", b"{"), ("states.fp16", b"ab")])
def test_damaged_states_are_made_again(tones, small_teacher, store, name, content):
    cuts = list(tones.splits["train"])[:1]
    before, _ = kept([1], small_teacher, tones, store).batch(cuts, 200)
    (digest,) = store.ls()
    (store.folder / digest / name).write_bytes(content)
    with pytest.raises(WorkError, match=r"unreadable .*delete the folder"):
        KeptLayer(store.folder / digest)
    after, _ = kept([1], small_teacher, tones, store).batch(cuts, 200)
    assert torch.equal(before, after)


def test_cut_that_could_not_be_read_then_is_named(tones, small_teacher, store):
    lost = next(iter(tones.splits["train"]))

    class Torn(AudioStore):
        def audio(self, cut):
            if cut.id == lost.id:
                raise UnreadableError("torn")
            return super().audio(cut)

    found = kept([1], small_teacher, replace(tones, audio=Torn()), store)
    with pytest.raises(WorkError, match=f"without cut {lost.id}, .*delete the folder"):
        found.batch([lost], 200)
    spans = json.loads((store.folder / store.ls()[0] / "features.json").read_text())["spans"]
    assert spans.keys() == {cut.id for cut in tones.splits["train"]} - {lost.id}
