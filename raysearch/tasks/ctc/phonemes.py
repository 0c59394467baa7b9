"""Phones: a CTC head over the corpus's phones, judged by phone error rate."""

from raysearch.tasks.ctc.recognition import CtcTask


class Phonemes(CtcTask):
    name = "phonemes"
    metric = "per"
    unit = "phones"
    item = "phones"
