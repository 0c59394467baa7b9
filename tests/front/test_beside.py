"""Which published points stand beside a front, and what is said of the others."""

import pytest

from raysearch.front.beside import beside, beside_table
from raysearch.front.document import document
from tests.front.made_up_trials import trial

SPLITS = {"train": ["train-clean-100"], "dev": ["dev-clean"], "test": ["test-clean"]}
LIBRISPEECH = {
    "corpus": {"kind": "librispeech", "splits": SPLITS},
    "task": [{"kind": "asr", "mode": "probe"}, {"kind": "phonemes", "mode": "probe"}],
}
VOXCELEB = {
    "corpus": {"kind": "voxceleb", "test": {"file": "data/voxceleb/veri_test2.txt"}},
    "task": {"kind": "speaker"},
}
AN4 = {"corpus": {"kind": "an4"}, "task": {"kind": "phonemes", "mode": "probe"}}
SUPERB_ASR = {"kind": "asr", "mode": "probe", "head": "superb", "head_width": 1024}
XVECTOR = {"kind": "xvector", "channels": 512, "embedding": 512, "layers": "sum"}
SUPERB_SPEAKER = {"kind": "speaker", "backend": XVECTOR, "loss": "am"}
HEAD = "name,task,metric,error,macs_g,macs_of,params_m,teacher,source\n"


def front(*objectives, **metrics):
    return document("s", list(objectives), [trial(0, 300, 20, metrics={f"eval/{objectives[1]}": 20} | metrics)], [9, 9])


def test_points_of_the_same_task_stand_beside_the_front_by_cost():
    found = beside(front("macs", "per"), LIBRISPEECH, ["superb"])
    assert {point.metric for point in found.points} == {"per"}
    costs = [point.macs_g for point in found.points]
    assert costs == sorted(costs)
    assert {"DPHuBERT", "STaRHuBERT-L", "WavLM Base+"} <= {point.name for point in found.points}
    (line,) = found.left_out
    assert line.startswith("published superb: left out: MACs: not in print; expected those of superb-32: LightHuBERT")
    assert "MaskHuBERT" in line
    assert found.label == "published, on test-clean"


@pytest.mark.parametrize(
    ("objectives", "asked", "why"),
    [
        (("macs", "per"), AN4, "corpus.kind: an4; expected librispeech, as SUPERB phoneme recognition has it"),
        (("macs", "error"), AN4, "objectives: error; expected eer or per or wer"),
        (("macs", "wer"), AN4, "task.kind: phonemes; expected asr, as SUPERB speech recognition has it"),
        (("macs", "wer"), LIBRISPEECH, "task.head: none; expected superb, as SUPERB speech recognition has it"),
        (
            ("macs", "wer"),
            LIBRISPEECH | {"task": SUPERB_ASR | {"head_width": 256}},
            "task.head_width: 256; expected 1024, as SUPERB speech recognition has it",
        ),
        (("macs", "eer"), VOXCELEB, "task.backend.kind: none; expected xvector, as SUPERB speaker verification has it"),
        (
            ("macs", "eer"),
            VOXCELEB | {"task": SUPERB_SPEAKER | {"loss": "aam"}},
            "task.loss: aam; expected am, as SUPERB speaker verification has it",
        ),
        (("latency", "per"), LIBRISPEECH, "objectives: latency; expected macs or params"),
        (
            ("macs", "per"),
            LIBRISPEECH | {"corpus": {"kind": "librispeech", "splits": SPLITS | {"train": ["a", "b"]}}},
            "corpus.splits.train: a, b; expected train-clean-100, as SUPERB phoneme recognition has it",
        ),
        (
            ("macs", "per"),
            LIBRISPEECH | {"task": {"kind": "phonemes", "mode": "finetune"}},
            "task.mode: finetune; expected probe, as SUPERB phoneme recognition has it",
        ),
    ],
)
def test_search_that_does_not_compare_is_told_why_in_one_line(objectives, asked, why):
    found = beside(front(*objectives), asked, ["superb"])
    assert found.points == []
    (line,) = found.left_out
    assert line.startswith(f"published superb: left out: {why}")


def test_search_with_superbs_heads_has_points_of_words_and_of_speakers():
    words = beside(front("macs", "wer"), LIBRISPEECH | {"task": SUPERB_ASR}, ["superb"])
    assert {point.task for point in words.points} == {"superb-asr"}
    speakers = beside(front("macs", "eer"), VOXCELEB | {"task": SUPERB_SPEAKER}, ["superb"])
    assert {point.task for point in speakers.points} == {"superb-asv"}
    # A back end that was trained with the student has its cost counted, and is no probe of it.
    own = front("macs", "eer", **{"cost/macs_total_g": 320.0})
    assert beside(own, VOXCELEB | {"task": SUPERB_SPEAKER}, ["superb"]).points == []


@pytest.mark.parametrize("asked", [{}, {"task": "phonemes"}, {"task": [None, {}]}, {"corpus": [], "task": {"kind": 3}}])
def test_search_document_that_is_damaged_compares_with_nothing(asked):
    found = beside(front("macs", "per"), asked, ["superb"])
    assert found.points == []
    assert found.left_out[0].startswith("published superb: left out: task.kind: ")


def test_heads_that_were_trained_with_the_encoder_are_no_probes():
    found = beside(front("macs", "per", **{"probe/per": 21}), LIBRISPEECH, ["superb"])
    assert found.points == []
    assert "heads that were trained with the encoder; expected probes" in found.left_out[0]


def test_whole_networks_compare_by_parameters_but_not_by_macs_of_other_lengths():
    assert beside(front("macs", "eer"), VOXCELEB, ["voxceleb"]).left_out == [
        "published voxceleb: left out: MACs: not stated, 1 s, not in print; expected those of superb-32"
    ]
    found = beside(front("params", "eer"), VOXCELEB, ["voxceleb"])
    assert [point.name for point in found.points][:2] == ["ReDimNet2-B0", "ReDimNet2-B1"]
    assert found.left_out == []
    assert "the costs of trials leave the back end out" in found.notes[0]
    other = VOXCELEB | {"corpus": {"kind": "voxceleb", "test": {"file": "mine.txt"}}}
    assert (
        "corpus.test.file: mine.txt; expected veri_test2.txt"
        in beside(front("params", "eer"), other, ["voxceleb"]).left_out[0]
    )


def test_points_of_a_user_stand_beside_searches_of_the_same_task_and_corpus(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(HEAD + "ours,phonemes:an4,per,19.5,5.1,superb-32,0.4,,r\nlost,asr:an4,wer,9,1,superb-32,1,,r\n")
    found = beside(front("macs", "per"), AN4, ["superb", str(file)])
    assert [point.name for point in found.points] == ["ours"]
    assert found.notes == ["published: phonemes:an4"]
    elsewhere = beside(front("macs", "per"), LIBRISPEECH, [str(file)])
    assert elsewhere.left_out == [
        f"published {file}: left out: corpus.kind: librispeech; expected an4, as phonemes:an4 has it"
    ]


def test_table_has_names_costs_errors_and_sources():
    found = beside(front("params", "eer"), VOXCELEB, ["voxceleb"])
    head, first, *_, note = beside_table(found, ["params", "eer"]).splitlines()
    assert head.split() == ["published", "MACs", "G", "params", "M", "EER", "%", "teacher", "source"]
    assert first.startswith("ReDimNet2-B0")
    # MACs of another length than those of trials would stand in a column with them.
    assert first.split()[1:4] == ["-", "1.1", "1.040"]
    assert first.endswith("trained on VoxCeleb2")
    assert note.startswith("published: Vox1-O, errors on Vox1-O; those of trials are on dev")
    narrow = beside_table(found, ["params", "eer"], width=60)
    assert max(map(len, narrow.splitlines()[:-1])) <= 60
    assert "left out: teacher, source" in narrow
    marked = beside_table(found, ["params", "eer"], as_markdown=True).splitlines()
    assert marked[1].startswith("|:--|--:|")
