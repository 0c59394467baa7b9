"""A label set from end to end: tones in, cluster ids of the right length and meaning out, built once."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut
from sklearn.metrics import pairwise_distances_argmin

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.errors import InputError
from raysearch.targets import build as build_module
from raysearch.targets.build import build_label_set, label_key
from raysearch.targets.features import mfcc_features
from raysearch.targets.label_set import LabelSet
from raysearch.targets.settings import TargetSettings
from raysearch.targets.store import LabelStore

torch.set_num_threads(1)

TONES_HZ = {"LOW": 300, "MID": 1100, "HIGH": 3200}
MFCC = TargetSettings(source="mfcc", clusters=8)
GROUP_NORM = Waveform(channels=[8] * 7)
CPU = torch.device("cpu")
FASTEST = {"cpu": "minibatch", "cuda": "faiss"}
"""What `auto` would make labels with on these devices if there were faiss for a GPU."""


def _cut(folder: Path, name: str, rng: np.random.Generator) -> MonoCut:
    """Two to four tones of 0.4 s, named by `phones`, with pauses of noise."""
    said = rng.choice(list(TONES_HZ), size=rng.integers(2, 5)).tolist()
    audio = 0.01 * rng.standard_normal(round(0.5 * len(said) * 16_000))
    for position, phone in enumerate(said):
        start, seconds = round(0.5 * position * 16_000), np.arange(6400) / 16_000
        audio[start : start + 6400] += 0.3 * np.sin(2 * np.pi * TONES_HZ[phone] * seconds)
    soundfile.write(folder / f"{name}.wav", audio, 16_000, subtype="PCM_16")
    cut = Recording.from_file(folder / f"{name}.wav", recording_id=name).to_cut().with_id(name)
    cut.supervisions = [SupervisionSegment(name, name, 0.0, cut.duration, speaker="s", custom={"phones": said})]
    return cut


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    sizes = {"train": 16, "dev": 5, "test": 2}
    splits = {s: CutSet.from_cuts([_cut(folder, f"{s}{i:02}", rng) for i in range(n)]) for s, n in sizes.items()}
    return Corpus("tones", splits)


@pytest.fixture
def build(corpus: Corpus, tmp_path: Path) -> Callable[..., LabelSet]:
    def build(settings: TargetSettings, teacher: Teacher | None = None, corpus: Corpus = corpus) -> LabelSet:
        store = LabelStore(tmp_path)
        return build_label_set(settings, teacher, corpus, AudioStore(), store, CPU, batch_s=6)

    return build


def _teacher(front_end: LogMel | Waveform, key: str = "ab12") -> Teacher:
    torch.manual_seed(0)
    blocks = Blocks(count=2, heads=2, head_width=8, ffn=32)
    config = EncoderConfig(front_end=front_end, width=16, position_conv=PositionConv(kernel=5, groups=4), blocks=blocks)
    return Teacher(Encoder(config).eval().requires_grad_(False), key)


def test_mfcc_labels_cover_train_and_dev_at_100_hz(build: Callable[..., LabelSet], corpus: Corpus) -> None:
    found = build(MFCC)
    for cut in [*corpus.splits["train"], *corpus.splits["dev"]]:
        labels_T = found.labels(cut.id)
        assert len(labels_T) == (cut.num_samples - 400) // 160 + 1
        assert 0 <= labels_T.min() <= labels_T.max() < 8
    with pytest.raises(KeyError):
        found.labels("test00")
    assert found.hop_samples == 160


def test_sampled_and_other_cuts_are_labelled_by_one_quantiser(
    build: Callable[..., LabelSet], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []

    def spy(*args: object) -> np.ndarray:
        fits.append((args[0], fit(*args)))
        return fits[-1][1]

    fit = build_module.fit_clusters
    monkeypatch.setattr(build_module, "fit_clusters", spy)
    found = build(MFCC.model_copy(update={"fit_frames": 400}))
    [(frames_ND, centres_KD)] = fits
    assert len(frames_ND) == pytest.approx(400, abs=200)  # whole cuts of at most 2 s
    cuts = [*corpus.splits["train"], *corpus.splits["dev"]]
    batches = build_module.evaluation_batches(cuts, AudioStore(), 6)
    for cut, feats_TD in mfcc_features(batches):
        np.testing.assert_array_equal(found.labels(cut), pairwise_distances_argmin(feats_TD, centres_KD))


def test_quality_of_tones_says_that_the_labels_are_useful(build: Callable[..., LabelSet]) -> None:
    quality = build(MFCC).quality
    assert set(quality) == {"fit_frames", "inertia", "dead_clusters", "perplexity", "probe_per"}
    assert quality["probe_per"] < 5


def test_corpus_without_phones_has_no_probe(build: Callable[..., LabelSet], corpus: Corpus) -> None:
    def mute(cut: MonoCut) -> MonoCut:
        return cut.map_supervisions(lambda supervision: replace(supervision, custom=None))

    splits = {name: CutSet.from_cuts(mute(cut) for cut in cuts) for name, cuts in corpus.splits.items()}
    assert "probe_per" not in build(MFCC, corpus=Corpus("mute", splits)).quality


@pytest.mark.parametrize(("front_end", "hop"), [(LogMel(channels=[8, 8]), 640), (GROUP_NORM, 320)])
def test_teacher_labels_have_its_frames(
    build: Callable[..., LabelSet], corpus: Corpus, front_end: LogMel | Waveform, hop: int
) -> None:
    teacher = _teacher(front_end)
    found = build(TargetSettings(clusters=8, layer=1), teacher)
    assert found.hop_samples == hop
    for cut in corpus.splits["dev"]:
        assert len(found.labels(cut.id)) == teacher.encoder.frames(cut.num_samples)


def test_second_request_reads_nothing(build: Callable[..., LabelSet], monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(MFCC)
    monkeypatch.setattr(build_module, "fit_clusters", None)
    assert build(MFCC).key == first.key


def test_same_settings_in_another_store_give_the_same_labels(
    build: Callable[..., LabelSet], corpus: Corpus, tmp_path: Path
) -> None:
    elsewhere = LabelStore(tmp_path / "elsewhere")
    again = build_label_set(MFCC, None, corpus, AudioStore(), elsewhere, CPU, batch_s=3)
    np.testing.assert_array_equal(build(MFCC).labels_N, again.labels_N)


def test_last_layer_by_either_name_is_one_key(corpus: Corpus, tmp_path: Path) -> None:
    key = partial(label_key, teacher=_teacher(GROUP_NORM), corpus=corpus, store=LabelStore(tmp_path), device=CPU)
    assert key(TargetSettings(layer=2)) == key(TargetSettings())
    assert key(TargetSettings(layer=1)) != key(TargetSettings())


def test_mfcc_key_is_free_of_teacher_and_layer(corpus: Corpus, tmp_path: Path) -> None:
    place = LabelStore(tmp_path), CPU
    other = label_key(MFCC.model_copy(update={"layer": 7}), _teacher(GROUP_NORM), corpus, *place)
    assert label_key(MFCC, None, corpus, *place) == other


def test_both_kinds_of_k_means_have_label_sets_of_their_own(build: Callable[..., LabelSet], tmp_path: Path) -> None:
    found = {kind: build(MFCC.model_copy(update={"kmeans": kind})) for kind in ("minibatch", "faiss")}
    assert {one.key.digest for one in found.values()} == set(LabelStore(tmp_path).folders.ls())
    assert {kind: one.document()["kmeans"] for kind, one in found.items()} == {kind: kind for kind in found}
    assert len(found["faiss"].key.digest) == 16
    for one in found.values():
        assert one.quality["probe_per"] < 5


def test_auto_is_faiss_on_a_gpu_unless_the_store_has_labels(
    build: Callable[..., LabelSet], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "fastest_kmeans", lambda device: FASTEST[device.type])

    def kinds() -> dict[str, str]:
        store = LabelStore(tmp_path)
        return {place: label_key(MFCC, None, corpus, store, torch.device(place)).kmeans for place in FASTEST}

    assert kinds() == FASTEST
    build(MFCC.model_copy(update={"kmeans": "faiss"}))
    assert kinds() == {"cpu": "faiss", "cuda": "faiss"}


def test_labels_of_before_are_taken_on_a_gpu_with_faiss(
    build: Callable[..., LabelSet], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "fastest_kmeans", lambda device: FASTEST[device.type])
    first = build(MFCC)
    assert label_key(MFCC, None, corpus, LabelStore(tmp_path), torch.device("cuda")) == first.key


def test_faiss_that_is_not_installed_is_told_before_anything_is_heard(
    build: Callable[..., LabelSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(build_module, "evaluation_batches", None)
    with pytest.raises(
        InputError, match=r"^targets\.kmeans: faiss: .*; expected minibatch, or `pip install faiss-cpu`"
    ):
        build(MFCC.model_copy(update={"kmeans": "faiss"}))
    assert LabelStore(tmp_path).ls() == []


def test_normalised_features_all_count_the_same_in_every_cut(
    build: Callable[..., LabelSet], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []

    def spy(frames_ND: np.ndarray, *rest: Any) -> np.ndarray:
        fits.append((frames_ND, fit(frames_ND, *rest)))
        return fits[-1][1]

    fit = build_module.fit_clusters
    monkeypatch.setattr(build_module, "fit_clusters", spy)
    plain, scaled = build(MFCC), build(MFCC.model_copy(update={"normalise": True}))
    assert plain.key.digest != scaled.key.digest
    (raw_ND, _), (scaled_ND, centres_KD) = fits
    mean_D, std_D = raw_ND.mean(axis=0), raw_ND.std(axis=0)
    assert std_D.max() > 10 * std_D.min()
    np.testing.assert_allclose(scaled_ND.std(axis=0), 1, atol=1e-3)
    batches = build_module.evaluation_batches([*corpus.splits["train"], *corpus.splits["dev"]], AudioStore(), 6)
    for cut, feats_TD in mfcc_features(batches):
        nearest_T = pairwise_distances_argmin((feats_TD - mean_D) / std_D, centres_KD)
        # Rounding decides a frame or two that lie between two centres.
        assert (scaled.labels(cut) == nearest_T).mean() > 0.99


def test_soft_labels_cover_the_same_frames_and_begin_with_the_hard_ones(
    build: Callable[..., LabelSet], corpus: Corpus
) -> None:
    soft, softer = (build(MFCC.model_copy(update={"soft": soft, "fit_frames": 400})) for soft in (0.05, 2.0))
    sharpest = []
    for found in (soft, softer):
        for cut in [*corpus.splits["train"], *corpus.splits["dev"]]:
            near_TM, share_TM = found.soft_labels(cut.id)
            np.testing.assert_array_equal(near_TM[:, 0], found.labels(cut.id))
            np.testing.assert_allclose(share_TM.sum(axis=1, dtype=np.float32), 1, atol=5e-3)
        sharpest.append(found.share_NM[:, 0].mean(dtype=np.float32))
    np.testing.assert_array_equal(soft.labels_N, softer.labels_N)
    assert sharpest[0] > 0.9 > 0.8 > sharpest[1]


def test_teacher_source_without_teacher_is_refused(build: Callable[..., LabelSet]) -> None:
    with pytest.raises(InputError, match=r"^targets\.source: teacher; expected mfcc"):
        build(TargetSettings())


def test_more_clusters_than_frames_leave_no_label_set(build: Callable[..., LabelSet], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^targets\.clusters: 500000; expected at most \d+ frames"):
        build(MFCC.model_copy(update={"clusters": 500_000}))
    assert LabelStore(tmp_path).ls() == []
