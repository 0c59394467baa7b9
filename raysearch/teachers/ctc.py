"""The teacher method `ctc`: an encoder is trained to read a corpus's phones, or its characters if it has no phones.

Shapes: B batch, S samples, T frames, D width, V symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import Batch, TrainingBatches, evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.errors import InputError
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.supervised import EncoderUnderCtc
from raysearch.tasks.ctc.tokens import Tokens, Unit, greedy, is_labelled, reference
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.initial import initial_encoder
from raysearch.training.loop import fit
from raysearch.training.recipe import Recipe
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run


def train_ctc(folder: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Trains an encoder, leaves it in `folder/student`, and returns the errors of its own head in percent.

    They are named `eval/per` and `test/per`, or `eval/wer` and `test/wer` if the head reads characters.

    Raises: InputError if no cut of the training split has a transcript.
    """
    unit = unit_of(corpus)
    cuts = transcribed(corpus, unit)
    tokens = Tokens.from_cuts(cuts, unit)
    encoder = initial_encoder(settings.encoder(), None, corpus, settings.seed)
    module = EncoderUnderCtc(encoder, tokens.count)
    batches = TrainingBatches(cuts, corpus.audio, settings.batch_s, settings.seed)

    def prepare(step: int, batch: Batch) -> Mapping[str, Any]:
        targets = [tokens.encode(cut) for cut in batch.cuts]
        return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, "targets": targets}

    run = Run(
        folder,
        device,
        settings.seed,
        settings.precision,
        (settings.updates,),
        TrainingSettings(lr=settings.lr, batch_s=settings.batch_s),
        lr_scales={"head.": settings.head_lr / settings.lr},
    )
    for _ in fit(run, Recipe(module, batches, prepare)):
        pass
    module.eval()
    splits = {"eval": "dev", "test": "test"}
    name = "per" if unit == "phones" else "wer"
    spoken = {kind: [cut for cut in corpus.splits.get(split, []) if _says(cut, unit)] for kind, split in splits.items()}
    return {
        f"{kind}/{name}": _error(module, corpus, own, tokens, settings)
        for kind, own in spoken.items()
        if own  # a corpus for another task may have transcripts in train alone
    }


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


@torch.inference_mode()
def _error(
    module: EncoderUnderCtc, corpus: Corpus, cuts: Sequence[MonoCut], tokens: Tokens, settings: TrainedTeacher
) -> float:
    device = module.head.weight.device
    reading = Reading([], [])
    for batch in evaluation_batches(cuts, corpus.audio, settings.batch_s):
        logits_BTV, frames_B = module.logits(batch.audio_BS.to(device), batch.samples_B.to(device))
        reading.references.extend(reference(cut, tokens.unit) for cut in batch.cuts)
        reading.hypotheses.extend(tokens.decode(row) for row in greedy(logits_BTV, frames_B))
    return reading.score(tokens.unit, settings.seed).value
