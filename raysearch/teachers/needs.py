"""What a teacher that is trained here needs of its corpus. A search looks for it before anything is trained."""

from __future__ import annotations

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.encoder.frames import frames
from raysearch.errors import InputError
from raysearch.tasks.ctc.fit import check_fit
from raysearch.tasks.settings import SpeakerSettings
from raysearch.tasks.speaker.task import Speaker
from raysearch.teachers.ctc import transcribed, unit_of
from raysearch.teachers.settings import TrainedTeacher


def check_teacher(settings: TrainedTeacher, corpus: Corpus) -> list[str]:
    """What is doubtful about a corpus for this teacher, in a line each.

    Raises: InputError if the corpus lacks what the teacher learns from.
    """
    where = f"teacher.method: {settings.method}"
    if settings.method == "ctc":
        unit = unit_of(corpus)
        transcribed(corpus, unit)
        return check_fit(where, corpus, unit, [settings.encoder()])
    if settings.method == "speaker":
        try:
            return Speaker(SpeakerSettings()).check(corpus, [settings.encoder()])
        except InputError as err:
            raise InputError(f"{where}: {str(err).removeprefix('task speaker: ')}") from err
    encoder = settings.encoder()
    most = sum(frames(encoder, round(cut.duration * SAMPLE_RATE_HZ)) for cut in corpus.splits["train"])
    if settings.clusters > most:
        raise InputError(f"teacher.clusters: {settings.clusters}; expected at most {most}, the frames to train on")
    return []
