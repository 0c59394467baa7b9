from pathlib import Path

import jiwer
import pytest
import torch
from safetensors.torch import save_file

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, agreeing, read_evidence
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.evidence.texts import read_texts
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.head import load_head
from raysearch.tasks.settings import PhonemesSettings
from raysearch.tasks.table import evaluate_all

CPU = torch.device("cpu")
PROBE = PhonemesSettings(updates=60, batch_s=3.0)


@pytest.fixture
def kept(encoder, corpus: Corpus, tmp_path: Path) -> Path:
    evaluate_all([Phonemes(PROBE)], encoder, corpus, test=False, device=CPU, seed=0, keep=tmp_path / "trial")
    return tmp_path / "trial" / "head-phonemes"


def test_errors_of_each_cut_are_kept_beside_the_head(encoder, corpus: Corpus, tmp_path: Path) -> None:
    task = Phonemes(PhonemesSettings(updates=2, batch_s=3.0, lrs=[1e-3]))
    how = {"device": CPU, "seed": 0, "keep": tmp_path}
    first = evaluate_all([task], encoder, corpus, test=False, **how)
    assert first["eval/per"] > 0
    assert agreeing(read_evidence(tmp_path / FILE), first).keys() == {"eval/per"}
    # The last rung, or a run after a kill, writes the file anew.
    last = evaluate_all([task], encoder, corpus, test=True, **how)
    evidence = agreeing(read_evidence(tmp_path / FILE), last)
    assert evidence.keys() == {"eval/per", "test/per"}
    assert set(evidence["eval/per"].basis.cuts) == {cut.id for cut in corpus.splits["dev"]}
    # Errors counted in the texts that were kept are those that were kept.
    kept = read_texts(tmp_path / TEXTS)["test/per"]
    assert kept.cuts == evidence["test/per"].basis.cuts
    assert sum(bool(text) for text in kept.references) == len(kept.cuts)
    for reference, hypothesis, errors in zip(kept.references, kept.hypotheses, evidence["test/per"].found, strict=True):
        aligned = jiwer.process_words(reference.replace("\t", " "), hypothesis.replace("\t", " "))
        assert aligned.substitutions + aligned.deletions + aligned.insertions == errors


def test_kept_head_reads_as_the_one_that_was_scored(encoder, corpus: Corpus, kept: Path) -> None:
    head = load_head(kept)
    found = Phonemes(PROBE).evaluate(encoder, corpus, test=False, device=CPU, seed=0)
    assert found.head is not None
    assert head.tuned is None
    assert head.config == found.head.config
    for key, tensor in found.head.module.state_dict().items():
        assert torch.equal(head.module.state_dict()[key], tensor)


def test_finetuned_head_brings_its_encoder(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = EncoderConfig(
        front_end=LogMel(bins=20, channels=[8, 8]),
        width=16,
        position_conv=PositionConv(kernel=3, groups=4),
        blocks=Blocks(count=1, heads=2, head_width=8, ffn=16),
    )
    student = Encoder(small)
    task = Phonemes(PhonemesSettings(mode="finetune", updates=2, batch_s=3.0))
    evaluate_all([task], student, corpus, test=False, device=CPU, seed=0, keep=tmp_path)
    tuned = load_head(tmp_path / "head-phonemes").tuned
    assert tuned is not None
    assert not torch.equal(tuned.projection.weight, student.projection.weight)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("head.json", b"{}", "unit: missing"),
        ("head.json", b"\x80\x04.", "head.json"),
        ("head.safetensors", b"\x80\x04\x95pickle", "expected a safetensors file"),
    ],
)
def test_damaged_head_is_refused_by_name(kept: Path, name: str, content: bytes, fault: str) -> None:
    (kept / name).write_bytes(content)
    with pytest.raises(InputError, match=fault):
        load_head(kept)


def test_head_of_another_shape_is_refused(kept: Path) -> None:
    save_file({"bias_V": torch.zeros(3)}, kept / "head.safetensors")
    with pytest.raises(InputError, match=r"head.safetensors: .*expected"):
        load_head(kept)
