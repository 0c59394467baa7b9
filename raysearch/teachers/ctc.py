"""The teacher method `ctc`: an encoder is trained to read a corpus's phones, or its characters if it has no phones."""

from __future__ import annotations

from pathlib import Path

import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import TrainingBatches
from raysearch.corpora.corpus import Corpus
from raysearch.errors import InputError
from raysearch.tasks.ctc.recognition import CtcLearner, read
from raysearch.tasks.ctc.tokens import OutputHead, Tokens, Unit, is_labelled, reference
from raysearch.tasks.head import ChosenHead
from raysearch.tasks.learner import EncoderUnderHead
from raysearch.tasks.probe import Trained
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.initial import initial_encoder
from raysearch.training.loop import fit
from raysearch.training.recipe import Recipe
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run


def train_ctc(folder: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Trains an encoder under a head, and returns the errors of both together in percent.

    Both are left in `folder/student`.

    They are named `eval/per` and `test/per`, or `eval/wer` and `test/wer` if the head reads characters.

    Raises: InputError if no cut of the training split has a transcript.
    """
    unit = unit_of(corpus)
    cuts = transcribed(corpus, unit)
    tokens = Tokens.from_cuts(cuts, unit)
    encoder = initial_encoder(settings.encoder(), None, corpus, settings.seed)
    head = OutputHead(encoder.config.width, tokens.count)
    module = EncoderUnderHead(encoder, CtcLearner(tokens, cuts), head)
    batches = TrainingBatches(cuts, corpus.audio, settings.batch_s, settings.seed)
    run = Run(
        folder,
        device,
        settings.seed,
        settings.precision,
        (settings.updates,),
        TrainingSettings(lr=settings.lr, batch_s=settings.batch_s),
        lr_scales={"head.": settings.head_lr / settings.lr},
    )
    for _ in fit(run, Recipe(module, batches, EncoderUnderHead.prepare)):
        pass
    ChosenHead.of_output(head, tokens, encoder.config.depth + 1).save(folder / "student")
    splits = {"eval": "dev", "test": "test"}
    name = "per" if unit == "phones" else "wer"
    spoken = {kind: [cut for cut in corpus.splits.get(split, []) if _says(cut, unit)] for kind, split in splits.items()}
    readings = {
        kind: read(Trained(encoder, {0.0: head}), tokens, own, corpus.audio, device)[0.0]
        for kind, own in spoken.items()
        if own  # a corpus for another task may have transcripts in train alone
    }
    return {f"{kind}/{name}": found.score(unit, settings.seed).value for kind, found in readings.items()}


def unit_of(corpus: Corpus) -> Unit:
    """What a teacher of this corpus reads: phones if every transcript comes with them, else characters."""
    spoken = [cut for cut in corpus.splits["train"] if is_labelled(cut, "characters")]
    return "phones" if all(is_labelled(cut, "phones") for cut in spoken) else "characters"


def transcribed(corpus: Corpus, unit: Unit) -> list[MonoCut]:
    """The training cuts with transcripts. There may be others, for other tasks.

    Raises: InputError if there are none.
    """
    cuts = [cut for cut in corpus.splits["train"] if is_labelled(cut, unit)]
    if not cuts:
        raise InputError(f"teacher.method: ctc: corpus {corpus.name} has no transcripts; expected some to train on")
    return cuts


def _says(cut: MonoCut, unit: Unit) -> bool:
    return is_labelled(cut, unit) and bool(reference(cut, unit))
