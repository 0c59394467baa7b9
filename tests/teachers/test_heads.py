"""The head that a teacher of transformers brings; one that a process trains first while the others wait."""

from __future__ import annotations

import json
import socket

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing
from torch.nn import functional as F

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.huggingface import export_huggingface
from raysearch.targets.store import FolderStore
from raysearch.tasks.ctc.phonemes import Phonemes
from raysearch.tasks.head import load_head
from raysearch.tasks.settings import PhonemesSettings
from raysearch.teachers.heads import huggingface_head, judge_teacher, judged_errors, trained_head
from raysearch.teachers.loading import load_teacher
from raysearch.teachers.settings import ReadyTeacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.process import alone, rank, world_size

CPU = torch.device("cpu")


def work(number, port, folder, corpus):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    with alone():
        assert (rank(), world_size()) == (0, 1)
    assert (rank(), world_size()) == (number, 2)
    teacher = load_teacher(folder / "teacher", CPU)
    task = Phonemes(PhonemesSettings(updates=3, batch_s=6.0, lrs=[0.1]))
    head = trained_head(task, teacher, corpus, FolderStore(folder / "heads"), CPU, 0)
    mine = head.module.weight_VD.detach()
    both = [torch.empty_like(mine), torch.empty_like(mine)]
    distributed.all_gather(both, mine)
    assert mine.any()
    assert torch.equal(*both)
    distributed.destroy_process_group()


def test_two_processes_then_one_trains_the_head_and_both_have_it(tones, small_teacher, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    save_encoder(small_teacher.encoder, tmp_path / "teacher")
    multiprocessing.spawn(work, (port, tmp_path, tones), nprocs=2)
    assert len(FolderStore(tmp_path / "heads").ls()) == 1


def test_judged_teacher_then_it_has_the_errors_of_a_head_that_is_trained_once(tones, small_teacher, tmp_path):
    teacher, store = tmp_path / "teacher", FolderStore(tmp_path / "heads")
    save_encoder(small_teacher.encoder, teacher)
    task = Phonemes(PhonemesSettings(updates=3, batch_s=6.0, lrs=[0.1]))
    assert judged_errors([task], teacher, tones, store, 0) is None
    judge_teacher([task], teacher, tones, store, CPU, 0)
    expected = task.evaluate(small_teacher.encoder, tones, test=True, device=CPU, seed=0)
    errors = judged_errors([task], teacher, tones, store, 0)
    assert errors == expected.dev.metrics("eval/per") | expected.test.metrics("test/per")
    # A student that begins with a head for the task has the same one.
    trained_head(task, load_teacher(teacher, CPU), tones, store, CPU, 0)
    assert len(store.ls()) == 1
    assert judged_errors([task], teacher, tones, store, 1) is None


def test_teacher_that_came_with_its_error_then_no_head_is_trained(tones, small_teacher, tmp_path):
    save_encoder(small_teacher.encoder, tmp_path)
    (tmp_path / "teacher.json").write_text('{"metrics": {"eval/per": 9.0}}')
    store, task = FolderStore(tmp_path / "heads"), Phonemes(PhonemesSettings())
    judge_teacher([task], tmp_path, tones, store, CPU, 0)
    assert store.ls() == []
    assert judged_errors([task], tmp_path, tones, store, 0) == {"eval/per": 9.0}


SMALL = EncoderConfig(front_end=Waveform(), width=16, blocks=Blocks(count=1, heads=2, head_width=8, ffn=8))
VOCABULARY = {"<s>": 1, "<pad>": 2, "|": 0, "A": 3, "B": 4, "<unk>": 5}


@pytest.fixture
def theirs(tmp_path):
    """A folder as of HubertForCTC, whose blank is not the first token."""
    folder = tmp_path / "theirs"
    encoder = Encoder(SMALL)
    export_huggingface(encoder, folder)
    torch.manual_seed(0)
    head = {"lm_head.weight": torch.randn(6, 16), "lm_head.bias": torch.randn(6)}
    weights = {f"hubert.{name}": x for name, x in load_file(folder / "model.safetensors").items()}
    save_file(weights | head, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 2}))
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    return folder, head


def test_head_of_transformers_then_it_lies_beside_the_teacher_and_scores_as_theirs(theirs, tmp_path):
    folder, head = theirs
    store = FolderStore(tmp_path / "teachers")
    kept = load_head(prepare_teacher(ReadyTeacher(source=f"hf:{folder}"), None, store, CPU))
    assert (kept.config.unit, kept.config.symbols, kept.config.reads) == ("characters", [" ", "A", "B"], "output")
    x_LND = torch.randn(1, 5, 16)
    scores_NV = F.linear(x_LND[0], head["lm_head.weight"], head["lm_head.bias"])
    torch.testing.assert_close(kept.module(x_LND), scores_NV[:, [2, 0, 3, 4]])


@pytest.mark.parametrize("name", ["HubertForCTC", "Wav2Vec2ForCTC"])
def test_model_that_reads_as_transformers_saves_it_then_encoder_and_head_score_as_theirs(name, tmp_path):
    """In half precision and in shards, as large models come."""
    convs = {"conv_dim": [8] * 3, "conv_kernel": [10, 3, 2], "conv_stride": [5, 4, 4], "num_feat_extract_layers": 3}
    blocks = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}
    torch.manual_seed(0)
    config = getattr(transformers, name.replace("ForCTC", "Config"))(
        **convs, **blocks, **positions, vocab_size=len(VOCABULARY), pad_token_id=2
    )
    model = getattr(transformers, name)(config).eval().half()
    model.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert (tmp_path / "theirs/model.safetensors.index.json").exists()
    (tmp_path / "theirs/vocab.json").write_text(json.dumps(VOCABULARY))
    teacher = prepare_teacher(
        ReadyTeacher(source=f"hf:{tmp_path / 'theirs'}"), None, FolderStore(tmp_path / "teachers"), CPU
    )
    audio_1S = torch.randn(1, 4000)
    with torch.no_grad():
        scores_1TV = model.float()(audio_1S).logits
        output_1TD = load_teacher(teacher, CPU).encoder(audio_1S, torch.tensor([4000])).output_BTD
        found_TV = load_head(teacher).module(output_1TD)
    torch.testing.assert_close(found_TV, scores_1TV[0][:, [2, 0, 3, 4]], atol=1e-5, rtol=0)


def test_vocabulary_of_several_languages_or_of_other_size_then_no_head(theirs):
    folder, _ = theirs
    for vocabulary in ({"eng": VOCABULARY}, {"<pad>": 0, "A": 1}):
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        assert huggingface_head(folder, SMALL) is None
    (folder / "vocab.json").unlink()
    assert huggingface_head(folder, SMALL) is None
