"""The task `asr`: a CTC head reads characters and word boundaries, and is judged by the word error rate (WER)."""

from raysearch.tasks.ctc.recognition import CtcTask


class Asr(CtcTask):
    """Recognition of words, read character by character."""

    name = "asr"
    metric = "wer"
    unit = "characters"
    item = "words"
