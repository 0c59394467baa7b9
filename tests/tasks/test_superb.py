"""SUPERB's heads: their published sizes, what they cost, that they learn, and that padding changes nothing."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet
from torch import nn

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.published import PUBLISHED
from raysearch.spec.loading import load_spec
from raysearch.tasks.ctc.asr import Asr
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.ctc.superb_heads import RecurrentHead, masks
from raysearch.tasks.fields.classification import Classification
from raysearch.tasks.head import CtcHeadConfig, FieldHeadConfig, load_head
from raysearch.tasks.learner import EncoderUnderHead
from raysearch.tasks.settings import (
    AsrSettings,
    BackendSettings,
    ClassificationSettings,
    CtcSettings,
    IntentSettings,
    PhonemesSettings,
    SlotsSettings,
    SpeakerSettings,
)
from raysearch.tasks.speaker.backend_cost import backend_params
from raysearch.tasks.superb import (
    CHANNEL_MASKS,
    OUTPUTS,
    RECURRENT,
    TIME_MASKS,
    TIME_SPAN,
    SuperbHead,
    superb_backend,
    superb_head_of,
)
from raysearch.tasks.table import evaluate_all, load_task
from tests.encoder.small_encoders import small
from tests.tasks.spelled import make_cut, spell
from tests.tasks.spoken_commands import spoken_commands
from tests.tasks.spoken_requests import spoken_requests

CPU = torch.device("cpu")
SPACES = Path(__file__).parents[2] / "search_spaces"
BASE = PUBLISHED["HUBERT_BASE"]
SMALL = {"head": "superb", "head_width": 24, "batch_s": 3.0}


@pytest.fixture
def words(tmp_path: Path) -> Corpus:
    """Cuts in which each frame is a letter or what lies between two. Their label says whether there is an S."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def cuts(split: str, count: int) -> CutSet:
        made = []
        for i in range(count):
            phones = [str(phone) for phone in rng.choice(["B", "K", "S"], size=rng.integers(2, 6))]
            made.append(make_cut(tmp_path, f"{split}-{i:02}", phones, " ".join(phones), spell(phones, rng)))
            made[-1].supervisions[0].custom["label"] = "S" if "S" in phones else "none"
        return CutSet.from_cuts(made)

    return Corpus("words", {"train": cuts("train", 24), "dev": cuts("dev", 6), "test": cuts("test", 5)})


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        # Counted in s3prl's own modules at commit ec8064b, with the 13 weights of its featurizer.
        (AsrSettings(head="superb"), 42_828_845),
        (PhonemesSettings(head="superb"), 215_895),
        (ClassificationSettings(head="superb"), 199_961),
        (IntentSettings(head="superb"), 203_045),
        (SlotsSettings(head="superb"), 42_986_618),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_head_on_hubert_base_has_the_published_parameters(settings, count):
    head = superb_head_of(settings, BASE)
    assert head.params(BASE.depth + 1) == count
    shape = {"units": head.units, "layers": BASE.depth + 1, "width": BASE.width}
    if not isinstance(settings, CtcSettings):
        fields = {"label": [str(i) for i in range(OUTPUTS[settings.kind])]}
        config = FieldHeadConfig(fields=fields, pooling="mean+max", **shape)
    else:
        unit = load_task(settings).unit
        config = CtcHeadConfig(unit=unit, symbols=[str(i) for i in range(OUTPUTS[settings.kind] - 1)], **shape)
    with torch.device("meta"):
        assert sum(p.numel() for p in config.build().parameters()) == count
    assert config.superb.macs([50]) == head.macs([50])


def test_x_vector_on_hubert_base_has_the_published_parameters():
    settings = SpeakerSettings(backend=BackendSettings(kind="xvector", embedding=512, layers="sum"))
    assert backend_params(superb_backend(settings), BASE) == 6_110_185
    assert superb_backend(SpeakerSettings()) is None


def test_linear_head_then_it_is_none_of_superbs():
    assert superb_head_of(AsrSettings(), BASE) is None


def test_rate_of_superbs_head_then_the_published_one_unless_another_is_given():
    assert AsrSettings(head="superb").lrs == [1e-4]
    assert PhonemesSettings(head="superb").lrs == [1e-2]
    assert AsrSettings(head="superb", lrs=[1e-3]).lrs == [1e-3]
    assert len(AsrSettings().lrs) == 7


def test_stretches_with_superbs_head_are_refused():
    with pytest.raises(ValueError, match="segments: 3 with head = superb; expected 1"):
        ClassificationSettings(head="superb", segments=3)


def test_macs_are_those_of_the_layers():
    config = CtcHeadConfig(unit="characters", symbols=list("abc"), units=6, layers=2, width=5)
    head, counted = config.build(), []

    def count(module, inputs, output):
        weights = [p.numel() for p in module.parameters() if p.ndim > 1]
        counted.append(inputs[0].shape[:2].numel() * sum(weights))

    for module in head.modules():
        if isinstance(module, nn.Linear | nn.LSTM):
            module.register_forward_hook(count)
    head(torch.randn(2, 9, 5), [9])
    assert sum(counted) == config.superb.macs([9])
    assert config.superb.macs([4, 5, 0]) == config.superb.macs([9])


def test_recurrent_head_then_a_cut_reads_alone_as_in_a_batch():
    torch.manual_seed(0)
    head = RecurrentHead(layers=2, width=5, symbols=4, units=6).eval()
    x_LND = torch.randn(2, 9, 5)
    together_NV = head(x_LND, [2, 7])
    torch.testing.assert_close(together_NV[:2], head(x_LND[:, :2], [2]))
    torch.testing.assert_close(together_NV[2:], head(x_LND[:, 2:], [7]))
    # It reads both ways: the last frame changes what is read in the first.
    x_LND[:, -1] += 1
    assert not torch.equal(head(x_LND, [2, 7])[2], together_NV[2])


def test_masks_hide_spans_within_each_cut_while_the_head_learns_only():
    torch.manual_seed(0)
    frames_B = torch.tensor([500, 30, 1])
    hidden_BTD = torch.stack([masks(torch.zeros(3, 500, 768), frames_B) for _ in range(20)])
    time_BT, channels_BD = hidden_BTD.all(-1), hidden_BTD.all(-2)
    for row, count in enumerate(frames_B):
        assert not time_BT[:, row, count:].any()
    lengths = time_BT[:, 0].sum(-1)
    assert 0 < lengths.max() <= TIME_MASKS * (TIME_SPAN - 1)
    assert 0 < channels_BD[:, 0].sum(-1).max() <= CHANNEL_MASKS * 49
    head, x_LND = RecurrentHead(layers=1, width=16, symbols=3, units=4), torch.randn(1, 40, 16)
    assert not torch.equal(head(x_LND, [40]), head(x_LND, [40]))
    head.eval()
    assert torch.equal(head(x_LND, [40]), head(x_LND, [40]))


def test_probe_of_phones_on_an_encoder_that_shows_them_reads_without_error(encoder, words):
    task = Phonemes(PhonemesSettings(updates=60, **SMALL))
    found = task.evaluate(encoder, words, test=True, device=CPU, seed=0)
    assert (found.dev.value, found.test.value) == (0, 0)


def test_recurrent_probe_learns_to_read_and_is_kept(encoder, words, tmp_path):
    task = Asr(AsrSettings(updates=150, lrs=[1e-2], **SMALL))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = evaluate_all([task], encoder, words, True, CPU, 0, keep=tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    # Much of so short cuts is masked while it learns. A head that reads nothing has 100.
    assert found["eval/wer"] < 70
    kept = load_head(tmp_path / "head-asr")
    assert (kept.config.units, kept.config.unit) == (24, "characters")
    judged = task.judge(encoder, kept, words, test=True, device=CPU, seed=0)
    assert (judged.dev.value, judged.test.value) == (found["eval/wer"], found["test/wer"])
    # Same seed, same head; with another seed it begins with other weights.
    few = Asr(AsrSettings(updates=2, **SMALL))
    heads = [few.evaluate(encoder, words, test=False, device=CPU, seed=seed).head.module for seed in (0, 0, 1)]
    assert torch.equal(heads[0].project.weight, heads[1].project.weight)
    assert not torch.equal(heads[0].project.weight, heads[2].project.weight)


def test_mean_head_decides_classes(encoder, words, tmp_path):
    task = Classification(ClassificationSettings(updates=60, lrs=[3e-2], **SMALL))
    found = evaluate_all([task], encoder, words, False, CPU, 0, keep=tmp_path)
    assert found["eval/error"] < 20
    kept = load_head(tmp_path / "head-classification")
    assert task.judge(encoder, kept, words, test=False, device=CPU, seed=0).dev.value == found["eval/error"]
    assert task.suits(kept, words)
    assert not Classification(ClassificationSettings()).suits(kept, words)


def test_twelve_keywords_of_the_document_are_learned_from_synthetic_speech(tmp_path):
    """`search_spaces/superb-keywords.yaml` as it is, with a smaller head on a Whisper of random weights."""
    root = spoken_commands(tmp_path / "commands")
    changes = {"corpus.root": root, "corpus.test_root": "null", "task.head_width": 32, "task.updates": 100}
    changes |= {"task.batch_s": 8, "task.lrs": [0.03]}
    spec = load_spec(SPACES / "superb-keywords.yaml", [f"{key}={value}" for key, value in changes.items()])
    corpus = read_corpus(spec.corpus, tmp_path / "cache")
    torch.manual_seed(0)
    (task,) = map(load_task, spec.tasks)
    found = task.evaluate(Encoder(small("whisper")).eval(), corpus, test=True, device=CPU, seed=0)
    (classes,) = found.head.heads["speech-commands-12"].config.fields.values()
    assert len(classes) == OUTPUTS["classification"] == 12
    # Guesses are wrong 92 times in 100.
    assert found.dev.value < 50
    assert found.test.value < 50


def test_slots_of_the_document_are_learned_from_synthetic_speech(tmp_path):
    """`search_spaces/superb-slots.yaml` on a Whisper of random weights. Its head is linear: SUPERB's takes long."""
    root = spoken_requests(tmp_path / "SNIPS")
    changes = {"corpus.root": root, "task.head": "linear", "task.updates": 100, "task.batch_s": 8, "task.lrs": [0.3]}
    spec = load_spec(SPACES / "superb-slots.yaml", [f"{key}={value}" for key, value in changes.items()])
    corpus = read_corpus(spec.corpus, tmp_path / "cache")
    torch.manual_seed(0)
    (task,) = map(load_task, spec.tasks)
    found = task.evaluate(Encoder(small("whisper")).eval(), corpus, test=True, device=CPU, seed=0)
    # A head that reads no slot is wrong in three requests of four.
    assert found.dev.value <= 50
    assert found.test.value <= 50
    assert found.dev.others["slot_value_cer"].value < 80


def test_table_of_the_results_has_every_head_with_its_parameters():
    text = (SPACES.parent / "docs" / "results" / "superb-heads.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| ([\d,]+) \| ([\d,]+) \|", text, re.MULTILINE)
    table = {task: (theirs, ours) for task, theirs, ours in rows}
    assert table.keys() == {*OUTPUTS, "speaker"}
    for task in OUTPUTS:
        head = SuperbHead(task, BASE.width, 1024 if task in RECURRENT else 256, OUTPUTS[task])
        assert table[task] == (f"{head.params(BASE.depth + 1):,}",) * 2


def test_head_of_another_kind_then_it_does_not_suit(words):
    superb, linear = Asr(AsrSettings(**SMALL)), Asr(AsrSettings())
    for task, other in ((superb, linear), (linear, superb)):
        head = task.new_head(words, BASE.model_copy(update={"width": 16}))
        assert task.suits(head, words)
        assert not other.suits(head, words)
    assert torch.equal(*(superb.new_head(words, BASE).module.project.bias for _ in range(2)))


def test_finetuning_trains_the_encoder_under_a_recurrent_head(words):
    torch.manual_seed(0)
    student = Encoder(small())
    before = student.projection.weight.clone()
    task = Asr(AsrSettings(mode="finetune", updates=2, **SMALL))
    found = task.evaluate(student, words, test=False, device=CPU, seed=0)
    assert torch.equal(student.projection.weight, before)
    assert not torch.equal(found.head.tuned.projection.weight, before)


def test_encoder_that_is_pruned_under_a_recurrent_head_gets_its_gradient(words):
    torch.manual_seed(0)
    task, student = Asr(AsrSettings(**SMALL)), Encoder(small())
    head = task.new_head(words, student.config)
    module = EncoderUnderHead(student, task.learner(words, head), head.module)
    cuts = list(words.splits["train"])[:3]
    audio = [torch.from_numpy(words.audio.audio(cut)) for cut in cuts]
    samples_B = torch.tensor([len(audio_S) for audio_S in audio])
    loss, _ = module(nn.utils.rnn.pad_sequence(audio, batch_first=True), samples_B, cuts)
    loss.backward()
    unread = set(module.unread())
    assert all(p.grad is not None for p in module.parameters() if p not in unread)
