"""Classification and intents on frames that spell them out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, agreeing, read_evidence
from raysearch.evidence.texts import read_texts
from raysearch.tasks.fields.classification import Classification
from raysearch.tasks.fields.fields import UNKNOWN, Fields
from raysearch.tasks.fields.head import AttentionHead, FieldLearner, StatisticsHead
from raysearch.tasks.fields.intent import Intent
from raysearch.tasks.settings import ClassificationSettings, IntentSettings
from raysearch.tasks.table import evaluate_all
from tests.tasks.spelled import PHONES, make_cut, spell

CPU = torch.device("cpu")
FAST = {"updates": 60, "batch_s": 20.0, "lrs": [0.03, 0.1]}


def corpus_of(folder, describe, name="toy", counts=(40, 12, 10)) -> Corpus:
    """`describe(rng)` gives what is said, as phones, and the supervision's custom fields."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def cuts(split, count):
        made = []
        for i in range(count):
            phones, custom = describe(rng)
            cut = make_cut(folder, f"{name}-{split}-{i:02}", None, None, spell(phones, rng))
            cut.supervisions[0].custom = custom
            made.append(cut)
        return CutSet.from_cuts(made)

    return Corpus(name, {split: cuts(split, n) for split, n in zip(("train", "dev", "test"), counts, strict=True)})


def one_of_four(rng):
    label = PHONES[rng.integers(len(PHONES))]
    return [label], {"label": label}


def request(rng):
    """A drink, which is always there, and perhaps a size."""
    drink, size = PHONES[rng.integers(2)], PHONES[2 + rng.integers(2)]
    slots = {"drink": drink} | ({"size": size} if rng.random() < 0.5 else {})
    return list(slots.values()), {"intent": "order", "slots": slots}


@pytest.mark.parametrize("pooling", ["mean+max", "attention"])
def test_classes_that_frames_spell_then_no_error(tmp_path, encoder, pooling):
    task = Classification(ClassificationSettings(pooling=pooling, **FAST))
    found = evaluate_all([task], encoder, corpus_of(tmp_path, one_of_four), True, CPU, 0, keep=tmp_path)
    assert found["test/error"] == 0
    assert found["test/accuracy"] == found["test/macro_f1"] == found["eval/macro_f1_high"] == 100
    assert found["eval/error_labels"] == 40
    confusion = json.loads((tmp_path / "head-classification" / "confusion.json").read_text())
    assert np.array(confusion["counts"]).trace() == 10
    assert (tmp_path / "classification.png").stat().st_size > 1000
    texts = read_texts(tmp_path / "texts.json.gz")["test/error"]
    assert texts.references == texts.hypotheses
    assert set(texts.references) <= set(PHONES)


def test_slots_that_frames_spell_then_all_read(tmp_path, encoder):
    task = Intent(IntentSettings(**{**FAST, "updates": 150}))
    found = evaluate_all([task], encoder, corpus_of(tmp_path, request), True, CPU, 0)
    assert found["test/slot_f1"] == found["test/exact_match"] == found["test/intent_accuracy"] == 100
    assert found["test/error"] == 0


def test_judge_of_the_chosen_head_then_the_errors_that_it_was_chosen_with(tmp_path, encoder):
    task, corpus = Intent(IntentSettings(**{**FAST, "updates": 5})), corpus_of(tmp_path, request)
    how = {"test": True, "device": CPU, "seed": 0}
    found = task.evaluate(encoder, corpus, **how)
    (head,) = found.head.heads.values()
    assert task.suits(head, corpus)
    judged = task.judge(encoder, head, corpus, **how)
    assert (judged.dev, judged.test, judged.details) == (found.dev, found.test, {"labels": 40})
    assert found.dev.value > 0
    assert not Intent(IntentSettings(slots=[], **FAST)).suits(head, corpus)


def test_slots_left_out_then_the_intent_alone(tmp_path, encoder):
    task = Intent(IntentSettings(slots=[], **FAST))
    found = evaluate_all([task], encoder, corpus_of(tmp_path, request), True, CPU, 0)
    assert "test/slot_f1" not in found
    assert found["test/error"] == 0


def test_several_corpora_then_each_has_a_head_and_the_mean_is_reported(tmp_path, encoder):
    def owned(name, describe):
        corpus = corpus_of(tmp_path, describe, name)
        for cuts in corpus.splits.values():
            for cut in cuts:
                cut.supervisions[0].custom["corpus"] = name
        return corpus

    def noise(rng):
        return [PHONES[rng.integers(4)]], {"label": PHONES[rng.integers(2)]}

    one, other = owned("a", one_of_four), owned("b", noise)
    both = {split: one.splits[split] + other.splits[split] for split in one.splits}
    both = {split: CutSet.from_cuts(cuts) for split, cuts in both.items()}
    task = Classification(ClassificationSettings(**FAST))
    found = evaluate_all([task], encoder, Corpus("a+b", both), True, CPU, 0, keep=tmp_path)
    assert found["test/error_a"] == 0
    assert found["test/error_b"] > 10
    assert found["test/error"] == pytest.approx(found["test/error_b"] / 2)
    assert (tmp_path / "head-classification" / "b" / "head.json").exists()
    assert agreeing(read_evidence(tmp_path / FILE), found).keys() == {"eval/error", "test/error"}


@pytest.mark.parametrize(("share", "count"), [(0.01, 4), (0.5, 22), (1.0, 40)])
def test_share_of_labels_then_as_much_of_each_class(tmp_path, share, count):
    corpus = corpus_of(tmp_path, one_of_four)
    task = Classification(ClassificationSettings(labels=share))
    cuts = list(corpus.splits["train"])
    values = {cut.id: task.values(cut) for cut in cuts}
    used = task.used(cuts, values, seed=1)
    assert abs(len(used) - count) <= 2
    assert {values[cut.id]["label"] for cut in used} == set(PHONES)
    more = Classification(ClassificationSettings(labels=min(1.0, 2 * share))).used(cuts, values, seed=1)
    assert {cut.id for cut in used} <= {cut.id for cut in more}


def test_corpus_without_labels_is_refused(tmp_path, encoder, corpus):
    with pytest.raises(InputError, match=r"task classification: corpus toy: .*expected cuts with custom\.label"):
        Classification(ClassificationSettings()).evaluate(encoder, corpus, test=False, device=CPU, seed=0)


def test_value_that_train_has_not_then_an_error_and_no_loss():
    fields = Fields.from_values([{"intent": "a", "size": "big"}, {"intent": "b"}])
    assert fields.values == {"intent": ("a", "b"), "size": ("", "big")}
    assert fields.encode({"intent": "a", "size": "huge"}) == [0, UNKNOWN]
    assert fields.decode([1, 0]) == {"intent": "b", "size": ""}


@pytest.mark.parametrize("head", [StatisticsHead(2, 4, [3]), StatisticsHead(2, 4, [3], 4), AttentionHead(2, 4, [3])])
def test_head_then_a_cut_reads_alone_as_in_a_batch(head):
    torch.manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    x_LND = torch.randn(2, 9, 4)
    together = head(x_LND, [3, 6])
    torch.testing.assert_close(together[:1], head(x_LND[:, :3], [3]))
    torch.testing.assert_close(together[1:], head(x_LND[:, 3:], [6]))


def test_loss_of_untrained_head_then_log_of_the_number_of_values():
    learner = FieldLearner(
        Fields.from_values([{"x": "a", "y": "c"}, {"x": "b", "y": "d"}]), {"one": {"x": "a", "y": "d"}}, "", 1
    )
    cut = type("Cut", (), {"id": "one"})
    loss = learner.loss(learner.head(1, 4), torch.randn(1, 5, 4), [5], [cut])
    assert loss.item() == pytest.approx(2 * np.log(2))


def test_balanced_then_all_values_weigh_the_same_in_the_whole():
    labels = {"one": "a", "two": "a", "three": "a", "four": "b"}
    values = {cut: {"label": label} for cut, label in labels.items()}
    losses = {}
    for balanced in (False, True):
        learner = Classification(ClassificationSettings(balanced=balanced, **FAST))._learner(values)
        head = learner.head(1, 4)  # it begins with zeros, so that it says neither
        losses[balanced] = {
            name: learner.loss(head, torch.randn(1, 5, 4), [5], [type("Cut", (), {"id": name})]).item()
            for name in labels
        }
        assert sum(losses[balanced].values()) == pytest.approx(4 * np.log(2))
    assert losses[False]["one"] == pytest.approx(losses[False]["four"])
    assert losses[True]["one"] + losses[True]["two"] + losses[True]["three"] == pytest.approx(losses[True]["four"])


def test_cuts_of_several_splits_with_one_id_then_each_keeps_its_own_label(tmp_path, encoder):
    """Manifests that count their cuts from 0 in each split are common."""
    corpus = corpus_of(tmp_path, one_of_four)
    splits = {
        split: CutSet.from_cuts(fastcopy(cut, id=str(number)) for number, cut in enumerate(cuts))
        for split, cuts in corpus.splits.items()
    }
    found = evaluate_all(
        [Classification(ClassificationSettings(**FAST))],
        encoder,
        Corpus("toy", splits),
        True,
        CPU,
        0,
        keep=tmp_path,
    )
    assert found["eval/error"] == found["test/error"] == 0
