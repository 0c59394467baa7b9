from dataclasses import replace

import jiwer
import pytest
import torch
from lhotse import CutSet

from raysearch.corpora.corpus import Corpus
from raysearch.errors import InputError
from raysearch.tasks.ctc.asr import Asr
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.ctc.recognition import CtcTask, Reading
from raysearch.tasks.ctc.tokens import OutputHead, Tokens
from raysearch.tasks.head import ChosenHead
from raysearch.tasks.settings import AsrSettings, PhonemesSettings
from tests.tasks.spelled import PHONES

CPU = torch.device("cpu")
SHORT = {"updates": 60, "batch_s": 3.0}


def phonemes(**fields) -> Phonemes:
    return Phonemes(PhonemesSettings(**(SHORT | fields)))


def evaluate(task: CtcTask, encoder, corpus: Corpus, test: bool = False):
    return task.evaluate(encoder, corpus, test=test, device=CPU, seed=0)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("a b c", "a b c", (0, 0, 0)),
        ("a b c", "", (0, 3, 0)),
        ("a b c", "a x c d", (1, 0, 1)),
        ("a b", "b", (0, 1, 0)),
    ],
)
def test_reading_counts_by_hand(reference: str, hypothesis: str, counts: tuple[int, int, int]) -> None:
    score = Reading([reference.split()], [hypothesis.split()]).score("words", seed=0)
    assert tuple(score.counts[name] for name in ("substitutions", "deletions", "insertions")) == counts
    assert score.counts["words"] == len(reference.split())
    assert score.value == pytest.approx(100 * sum(counts) / len(reference.split()))


def test_reading_rate_against_jiwer() -> None:
    references = ["a b c d", "e f", "g h i", "j"]
    hypotheses = ["a c d d", "", "g x y z", "j k"]
    score = Reading([r.split() for r in references], [h.split() for h in hypotheses]).score("words", seed=0)
    assert score.value == pytest.approx(100 * jiwer.wer(references, hypotheses))
    assert score.counts["cuts"] == 4


def test_probe_linear_encoder_reads_without_error(encoder, corpus: Corpus) -> None:
    found = evaluate(phonemes(), encoder, corpus, test=True)
    assert found.dev.value == 0
    assert found.test is not None
    assert found.test.value == 0
    assert found.details["collapsed"] == 0


def test_judge_of_the_chosen_head_then_the_errors_that_it_was_chosen_with(encoder, corpus: Corpus) -> None:
    task = phonemes(updates=2, lrs=[1e-3, 1e-2])
    found = evaluate(task, encoder, corpus, test=True)
    judged = task.judge(encoder, found.head, corpus, test=True, device=CPU, seed=0)
    assert judged == replace(found, details={name: found.details[name] for name in judged.details})
    assert found.dev.value > 0
    assert judged.details.keys() == {"collapsed", "unlabelled", "infeasible"}


def test_head_on_the_output_then_it_is_given_the_output(encoder, corpus: Corpus) -> None:
    tokens = Tokens("phones", PHONES)
    head = OutputHead(16, tokens.count)
    with torch.no_grad():
        head.weight.zero_()
        # A frame between phones has its mark in channel 15, and one at an end in channel 13.
        head.weight[0, [13, 15]] = 1.0
        head.weight[range(1, 5), range(4)] = 1.0
        head.bias.zero_()
    judged = phonemes().judge(encoder, ChosenHead.of_output(head, tokens, 2), corpus, test=False, device=CPU, seed=0)
    assert judged.dev.value == 0
    assert judged.test is None


@pytest.mark.parametrize(
    ("unit", "symbols", "suits"),
    [
        ("phones", PHONES, True),
        ("phones", (*PHONES, "Z"), True),
        ("phones", PHONES[1:], False),
        ("characters", PHONES, False),
    ],
)
def test_head_suits_if_it_reads_the_unit_and_knows_every_symbol(unit, symbols, suits, corpus: Corpus) -> None:
    tokens = Tokens(unit, tuple(symbols))
    head = ChosenHead.of_output(OutputHead(16, tokens.count), tokens, 2)
    assert phonemes().suits(head, corpus) is suits


def test_asr_linear_encoder_reads_words(encoder, corpus: Corpus) -> None:
    for cuts in corpus.splits.values():
        for cut in cuts:
            cut.supervisions[0].text = " ".join(p[0] for p in cut.supervisions[0].custom["phones"])
    found = evaluate(Asr(AsrSettings(**SHORT)), encoder, corpus)
    assert found.dev.counts["words"] == sum(len(cut.supervisions[0].text.split()) for cut in corpus.splits["dev"])
    assert found.dev.value == 0


def test_finetune_improves_encoder_and_leaves_the_given_one(encoder, corpus: Corpus) -> None:
    with torch.no_grad():
        encoder.weight_DD.zero_()
    blind = evaluate(phonemes(mode="probe"), encoder, corpus)
    tuned = evaluate(phonemes(mode="finetune", encoder_lr=0.1, head_lr=0.1), encoder, corpus)
    assert tuned.dev.value < blind.dev.value
    assert not encoder.weight_DD.any()
    assert encoder.weight_DD.grad is None


def test_probe_same_seed_same_result_and_encoder_untouched(encoder, corpus: Corpus) -> None:
    encoder.train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    short = {"updates": 8}
    assert evaluate(phonemes(**short), encoder, corpus) == evaluate(phonemes(**short), encoder, corpus)
    assert encoder.training
    assert encoder.weight_DD.grad is None
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_best_rate_at_edge_is_flagged(encoder, corpus: Corpus) -> None:
    rising = evaluate(phonemes(updates=12, lrs=[1e-5, 1e-4, 1e-1]), encoder, corpus)
    inside = evaluate(phonemes(updates=12, lrs=[1e-5, 1e-1, 1e3]), encoder, corpus)
    assert (rising.details["lr"], rising.details["lr_at_edge"]) == (1e-1, 1)
    assert (inside.details["lr"], inside.details["lr_at_edge"]) == (1e-1, 0)
    assert rising.details["at_lr_1e-05"] > rising.details["at_lr_0.1"] == rising.dev.value


def test_only_rate_is_no_edge(encoder, corpus: Corpus) -> None:
    assert evaluate(phonemes(lrs=[0.1]), encoder, corpus).details["lr_at_edge"] == 0


def test_all_blank_is_reported_as_collapsed(encoder, corpus: Corpus) -> None:
    def blindfold(_, __, shown):
        return shown._replace(hidden=tuple(torch.zeros_like(x_BTD) for x_BTD in shown.hidden))

    encoder.register_forward_hook(blindfold)
    found = evaluate(phonemes(), encoder, corpus)
    assert found.details["collapsed"] == 1
    assert found.dev.value == 100
    assert found.dev.counts["deletions"] == found.dev.counts["phones"]


def test_test_split_untouched_unless_asked(encoder, corpus: Corpus) -> None:
    del corpus.splits["test"]
    assert evaluate(phonemes(updates=2), encoder, corpus).test is None
    with pytest.raises(InputError, match="task phonemes: corpus toy: split test: 0 cuts"):
        evaluate(phonemes(updates=2), encoder, corpus, test=True)


def test_test_split_is_encoded_once(encoder, corpus: Corpus) -> None:
    evaluate(phonemes(updates=2), encoder, corpus)
    unasked = len(encoder.seen)
    evaluate(phonemes(updates=2), encoder, corpus, test=True)
    assert unasked == 24 + 6
    assert len(encoder.seen) - unasked == unasked + 5


def test_unknown_phone_on_dev_is_an_error_not_a_crash(encoder, corpus: Corpus) -> None:
    cut = next(iter(corpus.splits["dev"]))
    cut.supervisions[0].custom["phones"].append("ZH")
    found = evaluate(phonemes(), encoder, corpus)
    assert found.dev.counts["deletions"] == 1


def test_split_without_phones_names_task_and_split(encoder, corpus: Corpus, cut_of) -> None:
    broken = Corpus("toy", {**corpus.splits, "dev": CutSet.from_cuts([cut_of("mute", text="A")])})
    with pytest.raises(InputError, match="task phonemes: corpus toy: split dev: 1 cut, none with phones; expected"):
        evaluate(phonemes(), encoder, broken)


def test_useless_training_cuts_are_counted(encoder, corpus: Corpus, cut_of) -> None:
    odd = [cut_of("hasty", phones=["B", "B", "B"], frames=4), cut_of("mute1"), cut_of("mute2")]
    splits = {**corpus.splits, "train": CutSet.from_cuts([*corpus.splits["train"], *odd])}
    found = evaluate(phonemes(updates=20), encoder, Corpus("toy", splits))
    assert found.details["infeasible"] == 1
    assert found.details["unlabelled"] == 2


def test_unlabelled_dev_cut_is_left_out_of_the_score(encoder, corpus: Corpus, cut_of) -> None:
    splits = {**corpus.splits, "dev": CutSet.from_cuts([*corpus.splits["dev"], cut_of("mute")])}
    assert evaluate(phonemes(updates=2), encoder, Corpus("toy", splits)).dev.counts["cuts"] == 6
