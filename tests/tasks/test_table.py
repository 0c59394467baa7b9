from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from raysearch.corpora.corpus import Corpus
from raysearch.tasks.score import Score
from raysearch.tasks.settings import TaskSettings
from raysearch.tasks.table import TASKS, evaluate_all, load_task
from raysearch.tasks.task import Evaluated

PARSE = TypeAdapter(TaskSettings).validate_python


class Counting:
    """Stands in for a task and remembers whether test was asked for."""

    metric = "per"

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def evaluate(self, encoder, corpus, *, test: bool, device, seed, precision) -> Evaluated:
        self.asked.append(test)
        return Evaluated(Score(20, 18, 22), Score(21, 19, 23) if test else None, {"lr": 0.1, "lr_at_edge": 0.0})


def test_tasks_are_of_the_kinds_that_a_document_may_name() -> None:
    union, _ = get_args(TaskSettings)
    assert [model.model_fields["kind"].default for model in get_args(union)] == list(TASKS)


@pytest.mark.parametrize("kind", TASKS)
def test_task_loads_with_the_metric_its_settings_name(kind: str) -> None:
    settings = PARSE({"kind": kind})
    assert load_task(settings).metric == settings.metric


@pytest.mark.parametrize(
    "bad", [{"lrs": []}, {"lrs": [0.1, 0.1]}, {"lrs": [0.0, 0.1]}, {"steps": 3}, {"mode": "train"}]
)
def test_settings_bad_field_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PARSE({"kind": "asr", **bad})


@pytest.mark.parametrize("kind", TASKS)
def test_every_setting_is_described(kind: str) -> None:
    fields = type(PARSE({"kind": kind})).model_fields
    assert [name for name, field in fields.items() if not field.description and name != "kind"] == []


@pytest.mark.parametrize("test", [False, True])
def test_evaluate_all_flattens_and_reports_test_only_when_asked(test: bool, corpus: Corpus) -> None:
    task = Counting()
    found = evaluate_all([task], None, corpus, test, torch.device("cpu"), 0)
    expected = {"eval/per": 20, "eval/per_low": 18, "eval/per_high": 22, "eval/per_lr": 0.1, "eval/per_lr_at_edge": 0}
    tested = {"test/per": 21, "test/per_low": 19, "test/per_high": 23}
    assert found == (expected | tested if test else expected)
    assert task.asked == [test]
