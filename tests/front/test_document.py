import json
from math import isnan, nan

import pytest
from hypothesis import given, settings

from raysearch.errors import InputError
from raysearch.front.compare import compare_table
from raysearch.front.document import SearchDocument, document
from raysearch.front.drawing import drawing
from raysearch.front.settings_page import draw_settings
from raysearch.front.table import markdown_table, text_table
from raysearch.front.trials import Cost, State, TrialRecord
from tests.front.damaged import damaged_documents
from tests.front.made_up_trials import search, trial


def test_document_counts_only_complete_trials():
    trials = [trial(2, 50, 20), trial(0, 100, 10), trial(1, 10, 5, state="stopped")]
    made = document("s", ["macs", "wer"], trials, [200, 100])
    assert made.front == [2, 0]
    assert made.hypervolume == 50 * 80 + 100 * 90
    assert [t.number for t in made.trials] == [0, 1, 2]


def test_document_json_has_the_promised_keys():
    written = json.loads(search(3).model_dump_json())
    assert {"name", "objectives", "trials", "front", "hypervolume", "reference_point"} <= set(written)
    promised = {"number", "state", "config", "metrics", "cost", "checkpoint", "error"}
    assert promised <= set(written["trials"][0])
    assert set(written["trials"][0]["cost"]) == {"macs_g", "params_m"}


def test_document_survives_json():
    made = search(9)
    assert SearchDocument.model_validate_json(made.model_dump_json()) == made


def test_nan_metric_is_null_in_json_and_nan_again():
    record = trial(0, 1, nan)
    text = json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert json.loads(text)["metrics"]["eval/wer"] is None
    assert isnan(TrialRecord.model_validate_json(text).metrics["eval/wer"])


def test_trial_that_ended_without_a_cost_has_failed_and_one_that_runs_has_not() -> None:
    unknown = Cost(macs_g=nan, params_m=nan)
    states: tuple[State, ...] = ("complete", "infeasible", "failed", "running")
    trials = [trial(number, 1.0, 9.0, state=state, cost=unknown) for number, state in enumerate(states)]
    found = document("s", ["macs", "wer"], trials, [1.0, 100.0])
    assert [one.state for one in found.trials] == ["failed", "failed", "failed", "running"]
    assert [one.refused for one in found.trials] == [True, True, True, False]
    assert found.front == []
    # An old file may hold null, and an older one what Python writes for NaN.
    for content in (found.model_dump_json(), found.model_dump_json().replace('_g":null', '_g":NaN')):
        assert [one.state for one in SearchDocument.checked_json(content).trials][:1] == ["failed"]


def one_line(err):
    assert "\n" not in str(err)


@given(damaged_documents())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_damaged_document_is_refused_in_a_line_or_read_by_all(tmp_path_factory, text):
    try:
        read = SearchDocument.checked_json(text)
    except InputError as err:
        one_line(err)
        return
    text_table(read)
    markdown_table(read)
    drawing(read)
    compare_table([read, search(3)]) if read.objectives == ["macs", "wer"] else None
    draw_settings(read, {}, tmp_path_factory.getbasetemp() / "settings.html")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"front": [0, 99]}, "front: 99; expected complete trials whose objectives were measured"),
        ({"reference_point": [1.0]}, "reference_point: 1 numbers; expected one for each objective"),
        ({"hypervolume": None}, "hypervolume: None; expected a valid number"),
        ({"objectives": []}, "objectives: list; expected at least 1 item after validation, not 0"),
    ],
)
def test_document_that_contradicts_itself_is_refused(changed, line):
    written = json.loads(search(3).model_dump_json()) | changed
    with pytest.raises(InputError) as refused:
        SearchDocument.checked_json(json.dumps(written))
    assert str(refused.value) == line
