"""Speakers are tones: a back end on untrained frames tells them apart, and pairs say how well."""

import json
from functools import partial

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet

from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.readers.reading import whole_cut
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, agreeing, read_evidence
from raysearch.methods.settings import StudentSettings
from raysearch.tasks.settings import AamSettings, BackendSettings, SpeakerSettings
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.tasks.speaker.cosines import cosines, unit
from raysearch.tasks.speaker.task import Speaker, draw_pairs, embed, segments
from raysearch.tasks.table import evaluate_all

PITCHES_HZ = {"train": (150, 300, 600, 900, 1500, 2400), "dev": (200, 700, 1900), "test": (250, 800, 2000)}
SETTINGS = SpeakerSettings(
    backend=BackendSettings(kind="linear", embedding=16, layers="sum"),
    updates=40,
    batch=12,
    crop_s=0.5,
    lr=2e-2,
    aam=AamSettings(margin=0.1, scale=15.0),
)


def said(folder, speaker, hz, take, rng):
    seconds = rng.uniform(0.4, 1.0)
    time_S = np.arange(round(16_000 * seconds)) / 16_000
    pitch = hz * (1 + 0.05 * np.sin(2 * np.pi * 3 * time_S))
    audio_S = 0.2 * np.sin(2 * np.pi * pitch * time_S) + 0.02 * rng.standard_normal(len(time_S))
    path = folder / f"{speaker}-1-{take}.wav"
    soundfile.write(path, audio_S, 16_000)
    return whole_cut(path.stem, path, len(audio_S), speaker)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("voices")
    rng = np.random.default_rng(0)
    splits = {
        split: CutSet.from_cuts(said(folder, f"{split}{hz}", hz, take, rng) for hz in tones for take in range(4))
        for split, tones in PITCHES_HZ.items()
    }
    return Corpus("voices", splits)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(StudentSettings(depth=1, width=32, heads=2, channels=16, position_kernel=3).encoder()).eval()


def judged(task, encoder, corpus, test=False):
    return task.evaluate(encoder, corpus, test=test, device=torch.device("cpu"), seed=0)


def test_trained_back_end_tells_speakers_apart_better_than_none(corpus, encoder):
    task = Speaker(SETTINGS)
    found = judged(task, encoder, corpus, test=True)
    blank = SpeakerBackend(SETTINGS.backend, 32, 2)
    torch.manual_seed(3)
    noise = {"untrained": blank}
    untrained = task.judge(encoder, noise["untrained"], corpus, test=False, device=torch.device("cpu"), seed=0)
    assert found.dev.value < min(untrained.dev.value, 30)
    assert found.test.counts == {"targets": 18, "impostors": 18, "speakers": 3}
    assert 0 <= found.details["min_dcf_p0.05"] <= 1


def test_same_seed_gives_the_same_errors(corpus, encoder):
    assert judged(Speaker(SETTINGS), encoder, corpus).dev == judged(Speaker(SETTINGS), encoder, corpus).dev


def test_kept_head_is_judged_the_same_and_leaves_a_picture(corpus, encoder, tmp_path):
    from raysearch.tasks.head import head_folder, load_head

    given = {"test": False, "device": torch.device("cpu"), "seed": 0}
    first = evaluate_all([Speaker(SETTINGS)], encoder, corpus, keep=tmp_path, **given)
    assert (tmp_path / "speaker.png").stat().st_size > 10_000
    assert agreeing(read_evidence(tmp_path / FILE), first).keys() == {"eval/eer"}
    head = load_head(head_folder(tmp_path, "speaker"))
    assert head.config.kind == "speaker"
    again = evaluate_all([Speaker(SETTINGS)], encoder, corpus, trained={"speaker": head.module}, **given)
    assert again == first


def test_as_norm_uses_the_training_speakers(corpus, encoder):
    normed = Speaker(SETTINGS.model_copy(update={"as_norm": 6}))
    assert judged(normed, encoder, corpus).dev.value < 40
    with pytest.raises(InputError, match=r"task\.as_norm: 7; expected at most the 6 of the cohort"):
        judged(Speaker(SETTINGS.model_copy(update={"as_norm": 7})), encoder, corpus)


def test_corpus_with_its_own_pairs_is_judged_on_those(corpus, encoder):
    dev = [cut.id for cut in corpus.splits["dev"]]
    pairs = (Pair(True, dev[0], dev[1]), Pair(False, dev[0], dev[-1]))
    listed = Corpus("listed", corpus.splits, pairs={"dev": pairs}, audio=corpus.audio)
    assert judged(Speaker(SETTINGS), encoder, listed).dev.counts["targets"] == 1


def test_drawn_pairs_are_balanced_different_and_repeatable(corpus):
    cuts = list(corpus.splits["dev"])
    pairs = draw_pairs(cuts)
    speaker = {cut.id: cut.supervisions[0].speaker for cut in cuts}
    assert sum(pair.same for pair in pairs) == len(pairs) // 2 == 18
    assert all((speaker[pair.one] == speaker[pair.other]) == pair.same for pair in pairs)
    assert draw_pairs(cuts) == pairs


def test_split_of_one_speaker_is_refused(corpus, encoder):
    alone = CutSet.from_cuts(list(corpus.splits["dev"])[:4])
    with pytest.raises(InputError, match="task speaker: corpus voices: split dev: 1 speaker in 4 cuts; expected two"):
        judged(Speaker(SETTINGS), encoder, Corpus("voices", {**corpus.splits, "dev": alone}))


def test_segments_are_scored_pair_by_pair_beside_the_whole_cuts(corpus, encoder):
    cuts = list(corpus.splits["dev"])[:3]
    backend = SpeakerBackend(SETTINGS.backend, 32, 2).eval()
    cpu = torch.device("cpu")
    means_ME = embed(encoder, backend, cuts, 4, corpus, cpu, "fp32")

    def directions(cut):
        # Cuts are shorter than a segment, so each is repeated until it is as long.
        audio_S = np.resize(corpus.audio.audio(cut), 48_000)
        with torch.no_grad():
            x_1E = backend(encoder(torch.from_numpy(audio_S)[None], torch.tensor([48_000])))
        return torch.nn.functional.normalize(x_1E.double())[0].numpy()

    for one, other in ((0, 1), (1, 2)):
        wanted = directions(cuts[one]) @ directions(cuts[other])
        assert means_ME[one] @ means_ME[other] == pytest.approx(wanted, abs=1e-5)


def test_segments_lie_evenly_from_the_start_to_the_end():
    audio_S = np.arange(80_000, dtype=np.float32)
    assert segments(audio_S, 5)[:, 0].tolist() == [0, 8_000, 16_000, 24_000, 32_000]
    assert segments(audio_S, 5)[-1, -1] == 79_999


def test_mean_of_all_pairs_of_segments_is_the_product_of_mean_directions():
    one_GE, other_GE = np.random.default_rng(0).normal(size=(2, 5, 8))
    pairs = [cosines(a[None], b[None])[0] for a in one_GE for b in other_GE]
    assert unit(one_GE).mean(0) @ unit(other_GE).mean(0) == pytest.approx(np.mean(pairs))


def test_segments_change_the_scores_and_not_the_threshold_of_whole_cuts(corpus, encoder):
    backend, cpu = SpeakerBackend(SETTINGS.backend, 32, 2).eval(), torch.device("cpu")
    found = []
    for settings in (SETTINGS, SETTINGS.model_copy(update={"segments": 2})):
        embedded = partial(embed, encoder, backend, corpus=corpus, device=cpu, precision="fp32")
        (_, (scores_N, _)), threshold = Speaker(settings)._score(embedded, corpus, "dev", None, 0)
        found.append((scores_N, threshold))
    (plain_N, one), (scores_N, other) = found
    assert one == other
    cuts = {cut.id: cut for cut in corpus.splits["dev"]}
    pair = draw_pairs(list(cuts.values()))[0]
    sides_2E = embed(encoder, backend, [cuts[pair.one], cuts[pair.other]], 2, corpus, cpu, "fp32")
    assert scores_N[0] == pytest.approx((plain_N[0] + sides_2E[0] @ sides_2E[1]) / 2)
    assert not np.allclose(scores_N, plain_N, atol=1e-4)


def test_segments_with_a_cohort_are_refused():
    with pytest.raises(InputError, match=r"^segments: 5 with as_norm = 300; expected one of them to be 0"):
        SpeakerSettings.checked({"segments": 5, "as_norm": 300})


def test_settings_survive_json():
    assert SpeakerSettings.model_validate(json.loads(SETTINGS.model_dump_json())) == SETTINGS
