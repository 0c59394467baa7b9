"""Judges a student by the file that would be shipped: it is written in its precision, and run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.encoder import Encoder
from raysearch.exported.measure import hearing, measure_score
from raysearch.exported.onnx_file import graph_of, layout, onnx_name, write_onnx
from raysearch.exported.quantised import calibration_speech
from raysearch.exported.runners import run_file
from raysearch.exported.settings import DeploySettings, Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import head_folder, load_head
from raysearch.tasks.score import Score
from raysearch.tasks.table import Shipped
from raysearch.tasks.task import Evaluated, Task
from raysearch.training.process import as_first, rank


def shipped_by(deploy: DeploySettings, trial: Path, corpus: Corpus, seed: int, threads: int) -> Shipped:
    """What judges the files of one trial, whose heads lie in its folder, on so many threads."""

    def shipped(task: Task, encoder: Encoder, found: Evaluated) -> Evaluated:
        # The folder is that of the first process, and the file is run on a CPU: the others wait.
        scores = as_first(judge(task, encoder, found) if rank() == 0 else None)
        assert scores is not None
        return replace(found, dev=scores["dev"], test=scores.get("test"))

    def judge(task: Task, encoder: Encoder, found: Evaluated) -> dict[str, Score]:
        recogniser = Recogniser.joined(encoder, load_head(head_folder(trial, task.name)), trial)
        splits = ["dev", "test"] if found.test is not None else ["dev"]
        return file_scores(recogniser, deploy.precision, corpus, splits, seed, threads)

    return shipped


def file_scores(
    recogniser: Recogniser, precision: Precision, corpus: Corpus, splits: Sequence[str], seed: int, threads: int
) -> dict[str, Score]:
    """The errors of the recogniser's file on some splits of the corpus."""
    meaning = layout(recogniser)
    with TemporaryDirectory() as folder:
        file = Path(folder, onnx_name(precision))
        write_onnx(graph_of(recogniser), meaning, precision, file, lambda: calibration_speech(corpus, meaning))
        hear = hearing(run_file(file, threads), meaning)
        return {split: measure_score(hear, meaning, corpus, split, seed) for split in splits}
