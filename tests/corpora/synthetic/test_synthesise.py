"""Synthetic speech: deterministic, whole or absent, and speech by its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import SyntheticSettings
from raysearch.corpora.synthetic import espeak
from raysearch.corpora.synthetic import synthesise as synthetic
from raysearch.corpora.synthetic.synthesise import synthesise
from raysearch.corpora.synthetic.vocabulary import WORDS, phones
from raysearch.errors import InputError, WorkError

ONE, THREE = {"train": 1, "dev": 1, "test": 1}, {"train": 3, "dev": 3, "test": 3}
TINY = SyntheticSettings.model_validate({"speakers": ONE, "utterances": THREE, "words": 4})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(cache: Path) -> Corpus:
    return read_corpus(TINY, cache)


def cuts(corpus: Corpus) -> Iterator[MonoCut]:
    return chain(*corpus.splits.values())


def audio(cut: MonoCut) -> np.ndarray:
    return soundfile.read(cut.recording.sources[0].source)[0]


def test_vocabulary_is_sixty_different_words() -> None:
    assert len(set(chain(*WORDS.values()))) == len(list(chain(*WORDS.values()))) == 60


def test_synthetic_corpus_has_what_was_asked_for(corpus: Corpus) -> None:
    assert {split: len(found) for split, found in corpus.splits.items()} == THREE
    assert corpus.faults == ()
    assert len({cut.supervisions[0].speaker for cut in cuts(corpus)}) == 3
    assert {cut.supervisions[0].gender for cut in cuts(corpus)} == {"F", "M"}
    for cut in cuts(corpus):
        words = cut.supervisions[0].text.split()
        assert 2 <= len(words) <= 4
        assert set(words) <= set(chain(*WORDS.values()))
        assert len(cut.supervisions[0].custom["phones"]) >= 2 * len(words)


def test_synthetic_audio_is_loud_enough_and_not_clipped(corpus: Corpus) -> None:
    for cut in cuts(corpus):
        audio_S = audio(cut)
        seconds_a_word = cut.duration / len(cut.supervisions[0].text.split())
        assert 0.02 < np.sqrt(np.mean(audio_S**2)) < 0.1
        assert np.abs(audio_S).max() < 0.95
        assert 0.25 < seconds_a_word < 1.2
        assert np.sqrt(np.mean(audio_S[:1_000] ** 2)) < 0.01  # Silence comes first.


def test_two_speakers_say_the_same_differently_and_one_says_it_again() -> None:
    woman, man = (espeak.Voice(f"en-us+{variant}", 50, 160) for variant in ("f2", "m3"))
    (first,) = espeak.speak(woman, ["open the door"]).utterances
    (again,) = espeak.speak(woman, ["open the door"]).utterances
    (other,) = espeak.speak(man, ["open the door"]).utterances
    np.testing.assert_array_equal(first, again)
    assert pitch_hz(first) > 1.3 * pitch_hz(other)


def pitch_hz(audio_S: np.ndarray, rate_hz: int = 22_050) -> float:
    """Median over frames of the lag with the highest autocorrelation, 60 to 400 Hz."""
    frames = [audio_S[i : i + 1_024].astype(float) for i in range(0, len(audio_S) - 1_024, 512)]
    voiced = sorted(frames, key=lambda frame_S: -np.sum(frame_S**2))[: len(frames) // 2]
    low, high = rate_hz // 400, rate_hz // 60
    lags = [low + np.argmax(np.correlate(frame_S, frame_S, "full")[1_023 + low : 1_023 + high]) for frame_S in voiced]
    return rate_hz / float(np.median(lags))


def test_known_words_have_their_dictionary_phones(tmp_path: Path) -> None:
    speech = espeak.speak(espeak.Voice("en-us", 50, 160), ["seven green charlie door"])
    found = {word: phones(word, mnemonics) for word, mnemonics in speech.phonemes.items()}
    # As in the CMU pronouncing dictionary, stress dropped.
    assert found == {"seven": "S EH V AH N", "green": "G R IY N", "charlie": "CH AA R L IY", "door": "D AO R"}


def test_every_word_has_phones() -> None:
    words = [word.lower() for word in chain(*WORDS.values())]
    phonemes = espeak.speak(espeak.Voice("en-us", 50, 160), words).phonemes
    assert len({phone for word in words for phone in phones(word, phonemes[word]).split()}) == 33


def test_unknown_phoneme_is_named() -> None:
    with pytest.raises(WorkError, match=r"espeak-ng says \['z', 'Q'\] for zoo; no ARPAbet phone is known for \['Q'\]"):
        phones("zoo", ["z", "Q"])


def test_same_seed_gives_the_same_files(corpus: Corpus, cache: Path, tmp_path: Path) -> None:
    (folder,) = cache.glob("synthetic-*")
    synthesise(TINY, tmp_path / "again")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 9 + 3 + 3 + 2  # audio, transcripts, phones, SPEAKERS.TXT and the marker
    assert [path for path in files if (folder / path).read_bytes() != (tmp_path / "again" / path).read_bytes()] == []


def test_corpus_that_is_there_is_not_spoken_again(corpus: Corpus, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "speak", None)
    assert read_corpus(TINY, cache).fingerprint == corpus.fingerprint
    with pytest.raises(TypeError):
        read_corpus(TINY.model_copy(update={"seed": 1}), cache)


def test_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "phones", None)  # Called when all audio is written.
    with pytest.raises(TypeError):
        synthesise(TINY, tmp_path / "half")
    assert list(tmp_path.iterdir()) == []


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^corpus: .*: holds something else; expected a new folder or the same"):
        synthesise(TINY, tmp_path)


def test_more_speakers_than_voices_are_refused(tmp_path: Path) -> None:
    counts = {"train": 40, "dev": 5, "test": 5}
    many = SyntheticSettings.model_validate({"speakers": counts, "utterances": counts})
    with pytest.raises(InputError, match=r"^corpus.speakers: 50 in all; expected at most 48, one a voice$"):
        synthesise(many, tmp_path / "many")


def test_espeak_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"expected `pip install raysearch\[synth\]`$"):
        espeak.speak(espeak.Voice("en-us", 50, 160), ["one"])
