"""Manifests of requests, our own and SLURP's."""

import json
from pathlib import Path

import pytest

from raysearch.corpora.corpus import Fault
from raysearch.corpora.readers.intents import read_intents, read_slurp
from raysearch.corpora.settings import IntentsSettings, SlurpSettings
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_flac

ORDER = {"intent": "order", "slots": {"drink": "iced tea"}}


def write_manifest(root: Path, lines) -> Path:
    for seed, line in enumerate(lines):
        if isinstance(line, dict) and isinstance(line.get("path"), str):
            write_flac(root / line["path"], noise(0.3, seed))
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / "manifest.jsonl").write_text("\n".join(texts))
    return root


def lines(**changed):
    rows = [{"path": f"{split}/0.flac", "split": split, **ORDER} for split in ("train", "dev", "test")]
    rows[2] |= changed
    return rows


def test_manifest_then_intent_and_slots(tmp_path):
    corpus = read_intents(IntentsSettings(root=write_manifest(tmp_path, lines(slots={}))), None)
    assert corpus.splits["dev"]["dev/0"].supervisions[0].custom == ORDER
    assert corpus.splits["test"]["test/0"].supervisions[0].custom == {"intent": "order", "slots": {}}


@pytest.mark.parametrize(("given", "words"), [(42, "42"), (0, "0"), ("Iced\u0085tea", "ICED TEA"), (None, None)])
def test_text_may_be_a_number(tmp_path, given, words):
    corpus = read_intents(IntentsSettings(root=write_manifest(tmp_path, lines(text=given))), None)
    assert corpus.splits["test"]["test/0"].supervisions[0].text == words


@pytest.mark.parametrize("blank", ["", " ", "?!", "\u200b"])
def test_blank_text_is_left_out_and_counted(tmp_path, blank):
    more = {"path": "train/1.flac", "split": "train", **ORDER, "text": blank}
    corpus = read_intents(IntentsSettings(root=write_manifest(tmp_path, [*lines(), more]), max_skipped=0.5), None)
    assert corpus.faults == (Fault("train/1", "empty transcript"),)
    assert [cut.id for cut in corpus.splits["train"]] == ["train/0"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"intent": "cancel"},
            "intent 'cancel' of 1 cut in test has no usable example in train; expected one of o",
        ),
        ({"intent": None}, "manifest.jsonl: line 3: intent: None; expected a text"),
        ({"text": ["a"]}, r'manifest.jsonl: line 3: text: \["a"\]; expected a text'),
        ({"slots": {"drink": ""}}, "line 3: slots: .*; expected a text for each slot that is there"),
        ({"split": "devel"}, "line 3: split: 'devel'; expected train, dev or test"),
    ],
)
def test_bad_line_is_named(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        read_intents(IntentsSettings(root=write_manifest(tmp_path, lines(**changed))), None)


@pytest.mark.parametrize(
    ("line", "message"), [("{", "line 4: .*expected JSON lines in UTF-8"), ("[]", "line 4: list;")]
)
def test_line_that_is_no_object_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_intents(IntentsSettings(root=write_manifest(tmp_path, [*lines(), line])), None)


def slurp_sentence(name: str) -> dict:
    return {
        "slurp_id": 1,
        "sentence": "wake me at ten or eleven",
        "intent": "alarm_set",
        "scenario": "alarm",
        "action": "set",
        "tokens": [{"surface": word, "id": i} for i, word in enumerate(["wake", "me", "at", "ten", "or", "Eleven"])],
        "entities": [{"span": [3], "type": "time"}, {"span": [5], "type": "time"}],
        "recordings": [{"file": f"audio-{name}.flac"}, {"file": f"audio-{name}-headset.flac"}],
    }


def write_slurp(root: Path) -> Path:
    (root / "dataset" / "slurp").mkdir(parents=True)
    for seed, (file, name) in enumerate([("train", "a"), ("devel", "b"), ("test", "c")]):
        sentence = slurp_sentence(name)
        (root / "dataset" / "slurp" / f"{file}.jsonl").write_text(json.dumps(sentence) + "\n")
        for place, recording in enumerate(sentence["recordings"]):
            write_flac(root / "audio" / "slurp_real" / recording["file"], noise(0.3, 10 * seed + place))
    return root


def test_slurp_then_each_recording_is_a_cut(tmp_path):
    corpus = read_slurp(SlurpSettings(root=write_slurp(tmp_path)), None)
    assert [cut.id for cut in corpus.splits["dev"]] == ["audio-b", "audio-b-headset"]
    (supervision,) = corpus.splits["dev"]["audio-b"].supervisions
    assert supervision.custom == {"intent": "alarm_set", "slots": {"time": "ten; eleven"}}
    assert supervision.text == "WAKE ME AT TEN OR ELEVEN"


def test_slurp_sentence_without_words_is_left_out_and_counted(tmp_path):
    root = write_slurp(tmp_path)
    file = root / "dataset" / "slurp" / "devel.jsonl"
    blank = slurp_sentence("b") | {"sentence": " ?"}
    blank["recordings"] = blank["recordings"][:1]
    spoken = slurp_sentence("b")
    spoken["recordings"] = spoken["recordings"][1:]
    file.write_text(f"{json.dumps(blank)}\n{json.dumps(spoken)}\n")
    corpus = read_slurp(SlurpSettings(root=root, max_skipped=0.5), None)
    assert corpus.faults == (Fault("audio-b", "empty transcript"),)
    assert [cut.id for cut in corpus.splits["dev"]] == ["audio-b-headset"]


def test_slurp_without_a_key_is_named(tmp_path):
    root = write_slurp(tmp_path)
    (root / "dataset" / "slurp" / "devel.jsonl").write_text(json.dumps({"sentence": "x", "tokens": []}))
    with pytest.raises(InputError, match=r"devel.jsonl: line 1: KeyError 'entities'"):
        read_slurp(SlurpSettings(root=root), None)


def test_real_coffee_orders_then_as_their_readme_says(speech):
    corpus = read_intents(IntentsSettings(root=speech / "intent" / "coffee"), None)
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 260, "dev": 60, "test": 80}
    slots = {slot for cut in corpus.splits["train"] for slot in cut.supervisions[0].custom["slots"]}
    assert len(slots) == 6
