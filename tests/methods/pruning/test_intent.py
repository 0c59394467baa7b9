"""HJ-Pruning of another task: only the task changes."""

from __future__ import annotations

import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.cost import macs_superb
from raysearch.errors import InputError
from raysearch.methods.pruning.hjpruning import HJPruning
from raysearch.methods.trial import Trial
from raysearch.tasks.fields.classification import Classification
from raysearch.tasks.fields.intent import Intent
from raysearch.tasks.objective import untaught
from raysearch.tasks.settings import ClassificationSettings, IntentSettings
from raysearch.training.recipe import not_evaluated


def requests(corpus: Corpus, name: str | None = None) -> Corpus:
    """The first tone is the drink; a second one, where there is one, the size."""

    def own(cut):
        (supervision,) = cut.supervisions
        slots = dict(zip(("drink", "size"), supervision.custom["phones"], strict=False))
        custom = {"intent": "order", "slots": slots, "label": slots["drink"], "corpus": name or corpus.name}
        return fastcopy(cut, supervisions=[fastcopy(supervision, custom=custom)])

    splits = {split: CutSet.from_cuts(own(cut) for cut in cuts) for split, cuts in corpus.splits.items()}
    return Corpus(corpus.name, splits, audio=corpus.audio)


@pytest.mark.parametrize("task", [Intent(IntentSettings()), Classification(ClassificationSettings())])
def test_task_with_fields_then_pruned_to_its_target_under_them(task, tones, small_teacher, tmp_path):
    corpus = requests(tones)
    objective = untaught([task], "auto", corpus, small_teacher.encoder.config)
    trial = Trial(
        number=0,
        settings=HJPruning.Settings.model_validate(
            {"pruning": {"share": 0.5, "macs_ratio": 0.6}, "training": {"batch_s": 8.0, "checkpoint_updates": 3}}
        ),
        corpus=corpus,
        teacher=small_teacher,
        label_set=None,
        evaluate=not_evaluated,
        rungs=(2, 6),
        folder=tmp_path,
        device=torch.device("cpu"),
        seed=5,
        objective=lambda unit: objective,
    )
    (report,) = HJPruning().run(trial)
    assert report.step == 6
    student = load_encoder(tmp_path / "student")
    assert macs_superb(student.config) == pytest.approx(0.6 * macs_superb(small_teacher.encoder.config), rel=0.01)
    assert set(objective.head.config.fields) == ({"intent", "drink", "size"} if task.name == "intent" else {"label"})


def test_several_corpora_then_refused(tones):
    corpora = [requests(tones, name) for name in ("a", "b")]
    splits = {split: CutSet.from_cuts([*corpora[0].splits[split], *corpora[1].splits[split]]) for split in tones.splits}
    with pytest.raises(InputError, match=r"task intent: corpus a\+b: several corpora; expected one for this method"):
        Intent(IntentSettings()).learner(Corpus("a+b", splits))
