"""The task `phonemes`: a CTC head reads the corpus's phones, and is judged by the phone error rate (PER)."""

from raysearch.tasks.ctc.recognition import CtcTask


class Phonemes(CtcTask):
    """Recognition of phones, as the corpus lists them in `custom.phones`."""

    name = "phonemes"
    metric = "per"
    unit = "phones"
    item = "phones"
