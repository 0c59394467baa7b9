"""Words: a CTC head over characters and the word boundary, judged by word error rate."""

from raysearch.tasks.ctc.recognition import CtcTask


class Asr(CtcTask):
    name = "asr"
    metric = "wer"
    unit = "characters"
    item = "words"
