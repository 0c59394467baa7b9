"""Audio SNIPS as s3prl lays it out: its list, its folders, and the slots that are marked in its words."""

from pathlib import Path

import pytest

from raysearch.corpora.check import check_corpus
from raysearch.corpora.readers.audio_snips import marked, read_audio_snips
from raysearch.corpora.settings import AudioSnipsSettings
from raysearch.errors import InputError
from raysearch.tasks.ctc.tokens import Tokens, reference, spelled
from tests.corpora.speech_trees import noise, write_flac

LINES = {
    "train": "BOS PLAY THE BEATLES ON R & B RADIO EOS\tO O artist artist O service service service O PlayMusic",
    "valid": "BOS RATE IT FIVE , PLEASE EOS\tO O O rating_value O O RateBook",
    "test": "BOS IS IT COLD EOS\tO O O condition GetWeather",
}
VOICES = {"train": ("Ivy", "Salli"), "valid": ("Amy", "Brian"), "test": ("Emma", "Russell")}


def audio_snips(root: Path) -> Path:
    """One request a split, in two voices each, of which Brian is not one of dev's."""
    lines = []
    for split, line in LINES.items():
        for voice in VOICES[split]:
            key = f"{voice}-snips-{split}-0"
            lines.append(f"{key} {line}\n")
            write_flac(root / split / f"{key}.wav", noise(0.5, len(lines)))
    (root / "all.iob.snips.txt").write_text("".join(lines))
    return root


def test_slots_are_marked_in_the_words(tmp_path: Path) -> None:
    corpus = read_audio_snips(AudioSnipsSettings(root=audio_snips(tmp_path)), None)
    ids = {split: list(cuts.ids) for split, cuts in corpus.splits.items()}
    assert ids["train"] == ["Ivy-snips-train-0", "Salli-snips-train-0"]
    assert (ids["dev"], ids["test"]) == (["Amy-snips-valid-0"], ["Emma-snips-test-0", "Russell-snips-test-0"])
    said = corpus.splits["train"]["Ivy-snips-train-0"].supervisions[0]
    assert (said.text, said.speaker) == ("PLAY THE BEATLES ON R AND B RADIO", "Ivy")
    words = "PLAY <artist>THE BEATLES</artist> ON <service>R AND B</service> RADIO"
    assert said.custom == {"intent": "PlayMusic", "marked": words}
    rated = corpus.splits["dev"]["Amy-snips-valid-0"].supervisions[0]
    assert rated.custom["marked"] == "RATE IT <rating_value>FIVE</rating_value> PLEASE"


def test_marks_are_symbols_and_read_back_as_they_were_written(tmp_path: Path) -> None:
    corpus = read_audio_snips(AudioSnipsSettings(root=audio_snips(tmp_path)), None)
    cut = corpus.splits["train"]["Ivy-snips-train-0"]
    assert spelled(cut, "slots")[4:9] == [" ", "<artist>", "T", "H", "E"]
    tokens = Tokens.from_cuts([cut], "slots")
    assert {one for one in tokens.symbols if len(one) > 1} == {"<artist>", "</artist>", "<service>", "</service>"}
    assert tokens.decode(tokens.encode(cut)) == reference(cut, "slots")


def test_neighbours_of_one_label_are_one_slot_and_of_two_are_two() -> None:
    assert marked(["A", "B", "C", "D"], ["x", "x", "y", "O"]) == "<x>A B</x> <y>C</y> D"


def test_lines_and_recordings_that_do_not_belong_together_are_faults(tmp_path: Path) -> None:
    root = audio_snips(tmp_path)
    (root / "train" / "Salli-snips-train-0.wav").unlink()
    write_flac(root / "train" / "Joey-snips-train-0.wav", noise(0.5, 50))
    short = f"Joanna-snips-train-0 {LINES['train'].replace(' RADIO', '')}\n"
    write_flac(root / "train" / "Joanna-snips-train-0.wav", noise(0.5, 51))
    (root / "all.iob.snips.txt").write_text((root / "all.iob.snips.txt").read_text() + short)
    corpus = read_audio_snips(AudioSnipsSettings(root=root, max_skipped=0.8), None)
    reasons = {fault.first[0]: fault.reason for fault in check_corpus(corpus).faults}
    assert reasons.pop("Salli-snips-train-0").startswith("cannot be read: No such file")
    assert reasons == {
        "Joey-snips-train-0": "no line in all.iob.snips.txt",
        "Joanna-snips-train-0": "7 words with 8 labels",
    }
    with pytest.raises(InputError, match=r"corpus.max_skipped: split train: 3 of 4 cuts cannot be used"):
        read_audio_snips(AudioSnipsSettings(root=root), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train-0 BOS A EOS\tO O x\n", r"line 1: 'train-0'; expected <speaker>-snips-<train, valid or test>-<number>"),
        (None, r"all.iob.snips.txt: .*expected a list of requests"),
    ],
    ids=["id", "missing"],
)
def test_list_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, content: str | None, said: str) -> None:
    path = audio_snips(tmp_path) / "all.iob.snips.txt"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        read_audio_snips(AudioSnipsSettings(root=tmp_path), None)
    assert "\n" not in str(caught.value)
