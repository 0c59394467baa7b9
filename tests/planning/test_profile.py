"""Spans and profiles: every second is counted once, and nothing is marked while nobody measures."""

import time

import pytest
import torch

from raysearch.planning.profile import DATA, MODEL, Profile, profile
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import Store
from raysearch.training.monitoring import spans

torch.set_num_threads(1)

TINY = {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}


@pytest.fixture
def document(tones, tmp_path):
    splits = {}
    for split, cuts in tones.splits.items():
        splits[split] = str(tmp_path / f"{split}.jsonl")
        cuts.to_file(splits[split])
    return {
        "name": "tiny",
        "corpus": {"kind": "manifest", "splits": splits},
        "teacher": {"source": "train", "method": "ctc", **TINY},
        "task": {"kind": "phonemes"},
        "method": "dicehubert",
        "student": {key: value for key, value in TINY.items() if key != "depth"},
        "training": {"batch_s": 8.0},
        "space": {"student.depth": {"int": [1, 2]}},
    }


def test_spans_then_an_outer_one_is_charged_without_what_lies_inside(monkeypatch):
    clock_s = iter([0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr(spans, "_now_s", lambda: next(clock_s))
    with spans.measured() as found, spans.span("outer"), spans.span("inner"):
        pass
    assert found.seconds == {"inner": 3.0, "outer": 7.0}


def test_spans_when_nobody_measures_then_nothing_is_kept():
    with spans.measured() as found:
        pass
    with spans.span("late"):
        pass
    assert found.seconds == {}


OWN = {
    "dicehubert": {"targets": {"clusters": 4}},
    "distilhubert": {"distillation": {"layers": [1]}},
    "supernet": {"distillation": {"layers": [1]}, "student": {}, "space": {"student.channels": {"choice": [4, 8]}}},
}


@pytest.mark.parametrize("method", OWN)
def test_profile_then_its_parts_are_those_of_the_method_and_no_longer_than_the_call(document, tmp_path, method):
    document |= {"method": method, **OWN[method]}
    began_s = time.perf_counter()
    found = profile(parse_spec(document, where="tiny"), Store(tmp_path / "store"), torch.device("cpu"), updates=4)
    assert 4 * found.update_s + found.clustering_s < time.perf_counter() - began_s
    assert set(found.parts_s) - {"teacher"} == {*DATA, *MODEL, "reporting"} - {"teacher"}
    assert ("teacher" in found.parts_s) == (method != "dicehubert")
    assert (found.clustering_s > 0) == (method == "dicehubert")
    assert 0 < found.audio_s <= 8.0


def test_waste_is_the_dearest_part_outside_the_model():
    parts_s = {"read and decode": 0.2, "labels and masks": 0.3, "encoder": 1.0, "backward": 2.0}
    found = Profile(1, {}, parts_s, clustering_s=0.0, audio_s=10.0)
    assert found.waste == "labels and masks"
    assert found.feed_ratio == pytest.approx(6.0)
