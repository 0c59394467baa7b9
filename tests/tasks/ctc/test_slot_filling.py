"""Slots among words: what they are in a reading, the figures of hand-made readings, and a head that reads them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.runtime.transcribe import Layout
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, agreeing, read_evidence
from raysearch.evidence.texts import read_texts
from raysearch.exported.measure import measure_score
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.slot_filling import SlotFilling, slot_score, slots_in
from raysearch.tasks.ctc.tokens import spelled
from raysearch.tasks.head import load_head
from raysearch.tasks.settings import SlotsSettings
from raysearch.tasks.table import evaluate_all
from tests.tasks.spelled import make_cut, spell

CPU = torch.device("cpu")
SHOWN = {"<x>": "AA", "</x>": "S", "B": "B", "K": "K", " ": "other"}
"""The symbol of a frame for each symbol of a text."""


@pytest.mark.parametrize(
    ("read", "found"),
    [
        ("PLAY <artist>THE BEATLES</artist> NOW", {"artist": ["THE BEATLES"]}),
        ("<x>A</x> <y>B</y> <x>C</x>", {"x": ["A", "C"], "y": ["B"]}),
        ("<x> A  B </x>", {"x": ["A B"]}),
        ("<x>A", {}),
        ("A</x>", {}),
        ("<x></x> <y> </y>", {}),
        # A mark of another kind in between is left out, and begins no slot of its own.
        ("<x>A <y>B</x> C</y>", {"x": ["A B"]}),
        # A kind whose name begins another's is not that one.
        ("<x>A</x_name> B</x>", {"x": ["A B"]}),
    ],
)
def test_slots_of_a_reading(read, found):
    assert slots_in(read.split()) == found


@pytest.mark.parametrize(
    ("said", "read", "f1", "edits"),
    [
        ("<x>AB</x>", "<x>AB</x>", 1, 0),
        # The kind is right, and its value has one wrong character of two.
        ("<x>AB</x>", "<x>AC</x>", 1, 1),
        # The nearest value counts, and one that was not said costs F1 alone.
        ("<x>AB</x>", "<x>CD</x> <x>A</x> <y>E</y>", 2 / 3, 1),
        # Two of one kind are one kind, and both are beside the one that was read.
        ("<x>AB</x> <x>AC</x>", "<x>AB</x>", 1, 1),
        # Of a kind that was not read every character is wrong.
        ("<x>AB C</x> <y>D</y>", "<y>D</y>", 2 / 3, 4),
        ("<x>AB</x>", "AB", 0, 2),
        ("AB", "<x>AB</x>", 0, 0),
        ("AB", "CD", 1, 0),
    ],
)
def test_figures_of_one_cut(said, read, f1, edits):
    # Beside it stands a cut that is read rightly and has ten characters in a slot, so that both figures are defined.
    other = "<z>ABCDE FGHI</z>"
    score = slot_score(Reading([said.split(), other.split()], [read.split(), other.split()]), seed=0)
    assert score.value == pytest.approx(100 - 100 * (f1 + 1) / 2)
    assert score.others["slot_type_f1"].value == pytest.approx(100 * (f1 + 1) / 2)
    length = sum(len(value) for values in slots_in(said.split()).values() for value in values)
    assert score.others["slot_value_cer"].value == pytest.approx(100 * edits / (length + 10))
    assert score.others["slot_type_f1"].low <= score.others["slot_type_f1"].value <= score.others["slot_type_f1"].high


@pytest.fixture
def slots(tmp_path: Path) -> Corpus:
    """Cuts in which each frame is a letter, a blank between words or a mark."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def cut(name: str) -> object:
        words = ["".join(rng.choice(["B", "K"], size=rng.integers(1, 3))) for _ in range(rng.integers(2, 4))]
        place = rng.integers(len(words))
        words[place] = f"<x>{words[place]}</x>" if rng.random() < 0.7 else words[place]
        made = make_cut(tmp_path, name, None, None, np.zeros(640, np.float32))
        made.supervisions[0].custom = {"marked": " ".join(words)}
        shown = spell([SHOWN[symbol] for symbol in spelled(made, "slots")], rng)
        again = make_cut(tmp_path, name, None, None, shown)
        again.supervisions[0].custom = made.supervisions[0].custom
        return again

    splits = {"train": 24, "dev": 6, "test": 5}
    cuts = {split: CutSet.from_cuts(cut(f"{split}-{i:02}") for i in range(count)) for split, count in splits.items()}
    return Corpus("slots", cuts)


def test_linear_head_reads_slots_that_frames_show(encoder, slots, tmp_path):
    task = SlotFilling(SlotsSettings(updates=80, lrs=[0.1, 1.0], batch_s=3.0))
    found = evaluate_all([task], encoder, slots, True, CPU, 0, keep=tmp_path)
    for split in ("eval", "test"):
        assert (found[f"{split}/error"], found[f"{split}/slot_type_f1"], found[f"{split}/slot_value_cer"]) == (
            0,
            100,
            0,
        )
    kept = load_head(tmp_path / "head-slots")
    assert kept.config.unit == "slots"
    assert task.judge(encoder, kept, slots, test=True, device=CPU, seed=0).test.value == 0
    assert task.suits(kept, slots)
    # What is kept cut by cut gives the same error, and says what was read.
    assert set(agreeing(read_evidence(tmp_path / FILE), found)) == {"eval/error", "test/error"}
    texts = read_texts(tmp_path / "texts.json.gz")["test/error"]
    assert texts.hypotheses == texts.references


def test_error_of_uneven_parts_is_that_of_what_is_kept(slots):
    said = ["<x>A</x>", "<x>A</x>", "<x>A</x> <y>B</y>"]
    read = ["<x>A</x> <y>B</y>", "A", "<x>A</x> <y>B</y> <z>C</z>"]
    cuts = list(slots.splits["dev"])[:3]
    score = slot_score(Reading([one.split() for one in said], [one.split() for one in read], cuts), seed=0)
    assert score.value == pytest.approx(100 * (1 - (2 / 3 + 0 + 4 / 5) / 3))
    assert score.judged.value == pytest.approx(score.value, abs=1e-9)


def test_file_that_reads_slots_is_judged_by_its_slots(slots):
    dev = list(slots.splits["dev"])
    said = {slots.audio.audio(cut).tobytes(): spelled(cut, "slots") for cut in dev}
    layout = Layout("slots", ("<x>", "</x>", "B", "K", " "), hop_samples=640, min_samples=640, equal_lengths=False)
    assert measure_score(lambda audio_S: said[audio_S.tobytes()], layout, slots, "dev", 0).value == 0
    letters = measure_score(
        lambda audio_S: [one for one in said[audio_S.tobytes()] if len(one) == 1], layout, slots, "dev", 0
    )
    share = np.mean(["<x>" in cut.supervisions[0].custom["marked"] for cut in dev])
    assert letters.value == pytest.approx(100 * share)


def test_corpus_without_slots_is_refused_in_a_line(slots):
    for cut in slots.splits["dev"]:
        cut.supervisions[0].custom = {"marked": "B K"}
    with pytest.raises(InputError, match=r"split dev: no slot in custom.marked; expected some such as"):
        SlotFilling(SlotsSettings()).check(slots, [])
    for cut in slots.splits["dev"]:
        cut.supervisions[0].custom = {}
    with pytest.raises(InputError, match="split dev: 6 cuts, none with slots; expected cuts with slots"):
        SlotFilling(SlotsSettings()).check(slots, [])
