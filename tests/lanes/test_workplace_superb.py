"""The documents with SUPERB's heads, made small: a trial of each is trained, judged and kept with that head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import save_encoder
from raysearch.lanes.workplace import Workplace
from raysearch.spec.loading import load_spec
from raysearch.targets.store import Store
from raysearch.tasks.ctc.superb_heads import ProjectedHead, RecurrentHead
from raysearch.tasks.fields.head import MeanHead
from raysearch.tasks.head import head_folder, load_head
from raysearch.tasks.speaker.backend import SpeakerBackend, XVector
from raysearch.teachers.store import prepare_teacher

CPU = torch.device("cpu")
SPACES = Path(__file__).parent.parent.parent / "search_spaces"
TINY = (
    "corpus={kind: synthetic}",
    "distillation.layers=[0, 1, 2]",
    "training.batch_s=8",
    "search.updates=4",
    "task.updates=2",
)
HEAD = ("task.head_width=8", "task.batch_s=6")
BACKEND = ("task.backend.channels=8", "task.backend.embedding=8", "task.batch=4", "task.crop_s=1.0")
POINT = {
    "method": "dphubert",
    "pruning.macs_ratio": 0.7,
    "pruning.ffn_drop": 0.5,
    "pruning.gate_lr": 2e-2,
    "training.lr": 1e-3,
}


@pytest.fixture
def labelled(tones: Corpus) -> Corpus:
    """The tones, of which each cut has a label, an intent and a slot. Test is dev, whose speakers have several cuts."""

    def with_labels(cuts: CutSet) -> CutSet:
        found = []
        for cut in cuts:
            (told,) = cut.supervisions
            first, last = told.custom["phones"][0], told.custom["phones"][-1]
            custom = told.custom | {"label": first, "intent": first, "slots": {"last": last}}
            found.append(fastcopy(cut, supervisions=[fastcopy(told, custom=custom)]))
        return CutSet.from_cuts(found)

    train, dev = (with_labels(tones.splits[split]) for split in ("train", "dev"))
    return Corpus("tones", {"train": train, "dev": dev, "test": dev})


@pytest.mark.parametrize(
    ("name", "metric", "kind"),
    [
        ("asr", "wer", RecurrentHead),
        ("phonemes", "per", ProjectedHead),
        ("keywords", "error", MeanHead),
        ("intent", "error", MeanHead),
        ("speaker", "eer", XVector),
    ],
)
def test_document_made_small_then_its_student_is_judged_with_superbs_head(
    name, metric, kind, labelled, small_teacher, tmp_path
):
    save_encoder(small_teacher.encoder, tmp_path / "teacher")
    teacher = f"teacher={{source: {tmp_path / 'teacher'}}}"
    spec = load_spec(SPACES / f"superb-{name}.yaml", [*TINY, *(BACKEND if name == "speaker" else HEAD), teacher])
    store = Store(tmp_path / "store")
    workplace = Workplace(spec, store, prepare_teacher(spec.teacher, labelled, store.teachers, CPU), CPU)
    vars(workplace)["corpus"] = labelled
    *_, last = workplace.run(0, POINT, 0, tmp_path / "trial")
    assert {f"eval/{metric}", f"test/{metric}"} <= last.metrics.keys()
    head = load_head(head_folder(tmp_path / "trial", spec.task.kind)).module
    assert isinstance(head.body if isinstance(head, SpeakerBackend) else head, kind)
