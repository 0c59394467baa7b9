"""Kept hidden states: those of the teacher up to fp16, asked for once, made again where they are damaged."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import AudioStore, TrainingBatches, UnreadableError
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import valid_mask
from raysearch.encoder.teacher import Teacher
from raysearch.errors import WorkError
from raysearch.methods.features.regression import TeacherBatches
from raysearch.methods.settings import StudentSettings
from raysearch.targets import kept_features as room
from raysearch.targets.kept_features import features_bytes, kept_features, kept_grid, missing_layers
from raysearch.targets.kept_layer import FeatureKey, Grid, KeptLayer
from raysearch.targets.store import Store
from raysearch.training.initial import initial_encoder
from raysearch.training.monitoring.progress import heard_by
from tests.encoder.small_encoders import small

torch.set_num_threads(1)

CPU = torch.device("cpu")
GRID = Grid(640, 200)
"""That of `small_teacher`: log-mel frames at 25 Hz."""
ROUNDING = 2.0**-11
"""Largest change that fp16 makes to a number, as a share of it: it has eleven binary digits."""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path).features


def kept(layers, teacher, corpus, store, grid=GRID):
    return kept_features(layers, grid, teacher, corpus, store, CPU, batch_s=5.0)


def batches(corpus, found=None, rows=None, readers=0):
    rows = rows or corpus.audio
    if found is None:
        return TrainingBatches(corpus.splits["train"], rows, 5.0, seed=0).from_step(0)
    cuts, rows = corpus.splits["train"], found.rows(rows)
    return TrainingBatches(cuts, rows, 5.0, seed=0, readers=readers, beside=found.of).from_step(0)


def student(front_end):
    shape = {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}
    return Encoder(StudentSettings(**shape, front_end=front_end).encoder()).eval()


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("of_teacher", "front_end", "hop"),
    [
        ("logmel", "logmel-25hz", 640),
        ("logmel", "logmel-50hz", 640),
        ("group", "waveform", 320),
        ("group", "logmel-25hz", 640),
        ("whisper", "waveform", 320),
        ("whisper", "logmel-25hz", 640),
    ],
)
def test_targets_of_kept_states_then_those_of_the_teacher_up_to_fp16(tones, store, of_teacher, front_end, hop, raw):
    pupil, encoder = student(front_end), initial_encoder(small(of_teacher), None, tones, seed=1).eval()
    layers = [0, 2] if raw else [1, 2]
    grid = kept_grid(encoder.config, pupil.config)
    assert grid.hop_samples == hop
    found = kept(layers, Teacher(encoder.requires_grad_(False), "t"), tones, store, grid)
    asking, reading = (TeacherBatches(pupil, encoder, layers, "fp32", raw=raw, grid=one) for one in (None, grid))
    for asked, batch in islice(zip(batches(tones), batches(tones, found), strict=True), 3):
        one, other = asking(0, asked), reading(0, batch)
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
    prepare = TeacherBatches(student("logmel-25hz"), small_teacher.encoder, [1], "fp32", grid=GRID)
    by_audio, by_bins = (next(batches(tones, found, rows)) for rows in (tones.audio, Bins()))
    assert torch.equal(prepare(0, by_audio)["targets_LBTW"], prepare(0, by_bins)["targets_LBTW"])


def test_readers_read_the_states_ahead(tones, small_teacher, store, monkeypatch):
    found = kept([1, 2], small_teacher, tones, store)
    here = list(islice(batches(tones, found), 3))
    ahead = batches(tones, found, readers=2)
    first = next(ahead)
    # The readers were forked before, so that this holds for the process that trains alone.
    monkeypatch.setattr(KeptLayer, "states", lambda self, cut: pytest.fail("read by the process that trains"))
    for one, other in zip(here, [first, *islice(ahead, 2)], strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one.beside, other.beside, strict=True))


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
    assert missing_layers([0, 2, 2, 1], GRID, small_teacher, tones, store) == 1
    kept([1], small_teacher, tones, store)
    kept([1, 0], small_teacher, tones, store)
    assert built[1:] == [[0]]
    assert len(store.ls()) == 3


def test_layers_come_in_the_order_in_which_they_were_asked_for(tones, small_teacher, store):
    batch = next(batches(tones))
    one, other = (kept(layers, small_teacher, tones, store).of(batch).states_LBUW for layers in ([1, 2], [2, 1]))
    assert torch.equal(one.flip(0), other)
    assert one.abs().sum() > 0


def test_key_changes_with_all_that_decides_the_states():
    key = FeatureKey("t", 1, "c", 640, 200)
    changes = {"teacher": "u", "layer": 2, "corpus": "d", "hop_samples": 320, "first_sample": 0}
    others = [replace(key, **{name: value}) for name, value in changes.items()]
    assert len({one.digest for one in (key, *others)}) == 6


def test_size_is_told_before_anything_is_kept(tones, small_teacher, store):
    kept([1], small_teacher, tones, store)
    (digest,) = store.ls()
    layer = KeptLayer(store.folder / digest)
    samples = [cut.num_samples for cut in tones.splits["train"]]
    assert features_bytes(small_teacher.encoder.config, GRID, samples) == layer.document()["bytes"]
    assert layer.document()["bytes"] == (store.folder / digest / "states.fp16").stat().st_size
    assert layer.document()["cuts"] == 10


def test_numbers_beyond_fp16_are_kept_as_closely_as_others(tones, small_teacher, store):
    encoder = small_teacher.encoder
    with torch.no_grad():
        encoder.projection.weight.mul_(1e6)
    pupil, found = student("logmel-25hz"), kept([0], small_teacher, tones, store)
    batch = next(batches(tones, found))
    asked, read = (
        TeacherBatches(pupil, encoder, [0], "fp32", raw=True, grid=one)(0, batch)["targets_LBTW"]
        for one in (None, GRID)
    )
    valid_BT = valid_mask(pupil.frames(batch.samples_B), asked.shape[2])
    assert asked[:, valid_BT].abs().max() > 65_504
    assert torch.allclose(read[:, valid_BT], asked[:, valid_BT], rtol=2 * ROUNDING, atol=1.0)


@pytest.mark.parametrize(("name", "content"), [("features.json", b"{"), ("states.fp16", b"ab")])
def test_damaged_states_are_made_again(tones, small_teacher, store, name, content):
    batch = next(batches(tones))
    before = kept([1], small_teacher, tones, store).of(batch).states_LBUW
    (digest,) = store.ls()
    (store.folder / digest / name).write_bytes(content)
    with pytest.raises(WorkError, match=r"unreadable .*delete the folder"):
        KeptLayer(store.folder / digest)
    assert torch.equal(before, kept([1], small_teacher, tones, store).of(batch).states_LBUW)


def test_one_changed_byte_then_an_error_and_states_that_are_made_again(tones, small_teacher, store):
    batch = next(batches(tones))
    before = kept([1], small_teacher, tones, store).of(batch).states_LBUW
    (digest,) = store.ls()
    states = store.folder / digest / "states.fp16"
    content = bytearray(states.read_bytes())
    for place in range(0, len(content), 64):  # one in each frame, since a batch does not hold all cuts
        content[place] ^= 1
    states.write_bytes(content)
    found = kept([1], small_teacher, tones, store)
    with pytest.raises(WorkError, match=r"features .*: cut train\d is damaged; they are made anew"):
        found.of(batch)
    assert store.ls() == []
    assert torch.equal(before, kept([1], small_teacher, tones, store).of(batch).states_LBUW)


def test_cut_that_could_not_be_read_then_is_left_out(tones, small_teacher, store):
    lost = next(iter(tones.splits["train"]))

    class Torn(AudioStore):
        def audio(self, cut):
            if cut.id == lost.id:
                raise UnreadableError("torn")
            return super().audio(cut)

    found = kept([1], small_teacher, replace(tones, audio=Torn()), store)
    epoch = TrainingBatches(tones.splits["train"], tones.audio, 5.0, seed=0).steps_per_epoch
    heard = {cut.id for batch in islice(batches(tones, found), epoch) for cut in batch.cuts}
    assert heard == {cut.id for cut in tones.splits["train"]} - {lost.id}
