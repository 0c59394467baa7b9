"""What a search needs of its corpus, asked before anything is trained."""

import json

import pytest

from raysearch.corpora.corpus import Pair
from raysearch.errors import InputError
from raysearch.search.checks.needs import check_judged, check_trained
from raysearch.spec.document import Spec
from raysearch.targets.store import Store
from tests.corpora.made_up_corpora import corpus, cut
from tests.search.made_up import spec_with

SPOKEN = [
    cut(f"{who}{number}", text="GO", speaker=who, phones=["G"], label=who, intent=who, slots={"room": who})
    for who in "xy"
    for number in range(2)
]
PAIRS = [Pair(True, "x0", "x1"), Pair(False, "x0", "y0")]


def spec_of(kind: str, metric: str, **changes: object) -> Spec:
    return spec_with(**{"task": {"kind": kind}, "objectives": ["macs", metric], **changes})


TASKS = [("asr", "wer"), ("phonemes", "per"), ("speaker", "eer"), ("classification", "error"), ("intent", "error")]


@pytest.mark.parametrize(("task", "metric"), TASKS)
def test_corpus_that_has_all_is_taken(task: str, metric: str) -> None:
    assert check_judged(spec_of(task, metric), corpus(SPOKEN, PAIRS)) == []


@pytest.mark.parametrize(
    ("task", "metric", "fault"),
    [
        ("asr", "wer", "split train: 2 cuts, none with words"),
        ("phonemes", "per", "split train: 2 cuts, none with phones"),
        ("speaker", "eer", "split train: 0 speakers in 0 cuts"),
        ("classification", "error", "split train: no labelled cut; expected cuts with custom.label"),
        ("intent", "error", "split train: no labelled cut; expected cuts with custom.intent"),
    ],
)
def test_corpus_that_lacks_what_a_task_reads_is_refused(task: str, metric: str, fault: str) -> None:
    with pytest.raises(InputError, match=f"^task {task}: corpus made-up: {fault}"):
        check_judged(spec_of(task, metric), corpus([cut("a"), cut("b")]))


def test_split_without_words_is_refused_by_its_name() -> None:
    silent = corpus(SPOKEN)
    silent.splits["test"] = corpus([cut("a", text="")]).splits["test"]  # type: ignore[index]
    with pytest.raises(InputError, match=r"^task asr: corpus made-up: split test: 1 cut, none with words"):
        check_judged(spec_of("asr", "wer"), silent)


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        (PAIRS[:1], "corpus made-up: split dev: all 1 usable pairs are of one speaker; expected pairs of both"),
        ([*PAIRS, Pair(True, "x0", "z")], "corpus made-up: split dev: cut z of a pair names no speaker"),
    ],
)
def test_trial_list_that_gives_no_error_rate_is_refused(pairs, fault) -> None:
    with pytest.raises(InputError, match=f"^task speaker: {fault}"):
        check_judged(spec_of("speaker", "eer"), corpus([*SPOKEN, cut("z")], pairs))


def test_settings_that_the_corpus_makes_impossible_are_refused() -> None:
    with pytest.raises(InputError, match=r"^task\.as_norm: 3; expected at most the 2 of the cohort"):
        check_judged(spec_of("speaker", "eer", task={"kind": "speaker", "as_norm": 3}), corpus(SPOKEN, PAIRS))
    with pytest.raises(InputError, match=r"^task\.slots: 'roon'; expected some of room"):
        check_judged(spec_of("intent", "error", task={"kind": "intent", "slots": ["roon"]}), corpus(SPOKEN))


def test_cut_shorter_than_a_frame_is_refused_with_the_length_that_is_enough() -> None:
    short = [*SPOKEN, cut("s", text="GO", seconds=0.02)]
    with pytest.raises(InputError, match=r"^corpus\.min_s: 0\.1; expected at least 0\.025, .* cut, s, has 0\.02 s"):
        check_judged(spec_of("asr", "wer"), corpus(short))
    # An encoder of five stages that halve the time has a frame for every 32 of log-mel bins.
    deep = spec_of("asr", "wer", method="unfused", space={}, student={"depth": 5})
    with pytest.raises(InputError, match=r"expected at least 0\.335, one frame"):
        check_judged(deep, corpus([cut("s", text="GO", seconds=0.33)]))
    check_judged(deep, corpus([cut("s", text="GO", seconds=0.335 + 32 * 0.02)]))


def test_recording_that_is_longer_than_whispers_positions_is_refused_before_anything_is_trained(tmp_path) -> None:
    """The teacher here is one of two seconds. Its config alone says so: there are no weights."""
    shape = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8}
    document = {"model_type": "whisper", "max_source_positions": 100, **shape}
    (tmp_path / "config.json").write_text(json.dumps(document))
    teacher = {"teacher": {"source": f"hf:{tmp_path}"}, "space": {}}
    blank = spec_of("asr", "wer", **teacher, student={"heads": 4, "depth": 1})
    pruned = spec_of("asr", "wer", **teacher, student={}, method="hjpruning", pruning={"macs_ratio": 1.0})
    long = corpus([*SPOKEN, cut("long", text="GO", seconds=2.1)]).splits["dev"]
    for spec in (blank, pruned):
        check_judged(spec, corpus([*SPOKEN, cut("fits", text="GO", seconds=2.0)]))
    for spec, split, who, remedy in (
        (blank, "train", "teacher", "corpus.max_s = 2"),
        (pruned, "train", "student", "corpus.max_s = 2"),
        (pruned, "dev", "student", "recordings that are cut shorter"),
    ):
        found = corpus(SPOKEN)
        found.splits[split] = long  # type: ignore[index]
        with pytest.raises(InputError) as refused:
            check_judged(spec, found)
        assert str(refused.value) == (
            f"corpus made-up: split {split}: 1 cut of more than the 2 s for which the {who} has positions, "
            f"the longest long with 2.1 s; expected {remedy}"
        )
    # Students that are no Whispers are judged on recordings of any length.
    check_judged(blank, found)


def test_corpus_that_lacks_what_a_method_or_teacher_learns_from_is_refused(tmp_path) -> None:
    store = Store(tmp_path)
    labelled = corpus([cut("a", label="x"), cut("b", label="y")])
    pruned = spec_of("asr", "wer", method="hjpruning", student={}, space={})
    with pytest.raises(InputError, match=r"^method hjpruning: corpus made-up: split train: 2 of 2 cuts without char"):
        check_trained(pruned, labelled, store)
    # A task that decides fields teaches the method its labels.
    fields = spec_of("classification", "error", method="hjpruning", student={}, space={})
    with pytest.raises(InputError, match=r"^teacher\.method: ctc: corpus made-up has no transcripts"):
        check_trained(fields, labelled, store)
    ready = {"source": "torchaudio:HUBERT_BASE"}
    assert check_trained(spec_of("classification", "error", teacher=ready), labelled, store) == []
    empty = {"augmentation": {"musan": str(tmp_path)}, "student": {}, "space": {}, "teacher": ready}
    with pytest.raises(InputError, match=r"^augmentation\.musan: "):
        check_trained(spec_of("speaker", "eer", method="oskdft", **empty), corpus(SPOKEN), store)


def test_more_clusters_than_cuts_or_pieces_are_refused_unless_no_label_is_asked_for(tmp_path) -> None:
    store, ready = Store(tmp_path), {"source": "torchaudio:HUBERT_BASE"}
    changes = {"method": "unfused", "space": {}, "student": {}, "teacher": ready}
    with pytest.raises(InputError, match=r"^targets\.clusters: 5; expected at most 4, the training cuts"):
        check_trained(spec_of("asr", "wer", targets={"clusters": 5}, **changes), corpus(SPOKEN), store)
    for own in ({"targets": {"clusters": 8, "piece_s": 0.5}}, {"distillation": {"control": "random"}}):
        assert check_trained(spec_of("asr", "wer", **own, **changes), corpus(SPOKEN), store) == []
