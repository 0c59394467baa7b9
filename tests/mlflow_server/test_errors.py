"""Errors of trials recording by recording, from folders that hold more or less of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mlflow_server.errors import recording, shared_errors
from mlflow_server.storage import trial_folder
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, judged_pairs, write_evidence
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.evidence.texts import CutTexts, write_texts
from tests.front.judged_trials import judged_trial

PAIRS = judged_pairs({"a": "x", "b": "x", "c": "y"}, [("a", "b"), ("a", "c")], [1, 0], [0.9, 0.1])


def kept(search: Path, number: int, errors: list[int], name: str = "cut", read: tuple[str, ...] = ()):
    """A trial whose folder holds its errors, and its texts if it has `read` any."""
    trial = judged_trial(number, 10.0 + number, errors, [3] * len(errors), name)
    folder = trial_folder(search, number)
    folder.mkdir(parents=True)
    write_evidence(folder / FILE, trial.evidence)
    if read:
        many = len(errors)
        texts = CutTexts(
            cuts=trial.evidence["eval/wer"].basis.cuts,
            references=("one\ttwo\tthree",) * many,
            hypotheses=read,
            recordings=(str(search / "speech.wav"),) * (many - 1) + ("",),
            starts_s=(0.5,) * many,
            durations_s=(0.25,) * many,
        )
        write_texts(folder / TEXTS, {"eval/wer": texts})
    return trial


def test_two_trials_on_the_same_recordings_stand_side_by_side(tmp_path):
    first = kept(tmp_path, 0, [0, 2], read=("one\ttwo\tthree", "one"))
    second = kept(tmp_path, 1, [1, 0])
    found = shared_errors(tmp_path, [first, second], "eval/wer")
    assert found["trials"] == [0, 1]
    assert found["rows"][1] == {
        "cut": "cut1",
        "length": 3,
        "errors": [2, 0],
        "reference": ["one", "two", "three"],
        "hypotheses": [["one"], None],
        "playable": False,
    }
    assert found["rows"][0]["playable"]


def test_other_recordings_are_not_compared(tmp_path):
    with pytest.raises(InputError, match="judged on other recordings; expected the same"):
        shared_errors(tmp_path, [kept(tmp_path, 0, [0, 2]), kept(tmp_path, 1, [1, 0], "other")], "eval/wer")


def test_errors_that_are_not_those_of_the_trial_are_not_shown(tmp_path):
    trial = kept(tmp_path, 0, [0, 2])
    retried = trial.model_copy(update={"metrics": {"eval/wer": 12.0}})
    for one, name in ((retried, "eval/wer"), (trial, "test/wer")):
        with pytest.raises(InputError, match=f"trial 0: no {name} cut by cut"):
            shared_errors(tmp_path, [one], name)


def test_pairs_of_speakers_have_no_errors_of_single_recordings(tmp_path):
    trial = kept(tmp_path, 0, [0, 2])
    write_evidence(trial_folder(tmp_path, 0) / FILE, {"eval/eer": PAIRS})
    judged = trial.model_copy(update={"metrics": {"eval/eer": PAIRS.value}})
    with pytest.raises(InputError, match="scores of pairs"):
        shared_errors(tmp_path, [judged], "eval/eer")


def test_recording_of_a_cut_is_its_part_of_the_file(tmp_path):
    kept(tmp_path, 0, [0, 2], read=("one", "two"))
    samples = np.linspace(-0.5, 0.5, 16_000)
    soundfile.write(tmp_path / "speech.wav", samples, 16_000)
    heard, rate = soundfile.read(io.BytesIO(recording(tmp_path, 0, "eval/wer", "cut0")))
    assert rate == 16_000
    np.testing.assert_allclose(heard, samples[8_000:12_000], atol=1e-4)


def test_only_recordings_of_judged_cuts_are_read_and_only_as_audio(tmp_path):
    kept(tmp_path, 0, [0, 2], read=("one", "two"))
    (tmp_path / "speech.wav").write_text("no audio")
    faults = {"cut0": "cannot be read here", "cut1": "cannot be read here", "../cut": "no cut ../cut; expected one"}
    for cut, fault in faults.items():
        with pytest.raises(InputError, match=fault):
            recording(tmp_path, 0, "eval/wer", cut)
