"""The list of searches and the page of one, from runs and records that hold odd things."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_server.searches import _listed, page_document, plain_json
from raysearch.errors import InputError
from raysearch.front.beside import Beside
from raysearch.front.compare import compare_searches
from raysearch.front.document import SearchDocument
from raysearch.front.published import PublishedPoint
from tests.front.damaged import damaged_documents, odd
from tests.front.made_up_trials import search, search_of_three


def run(**metrics: object) -> dict:
    return {
        "info": {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "start_time": 0},
        "data": {"metrics": [{"key": f"search/{key}", "value": value, "step": 3} for key, value in metrics.items()]},
    }


@pytest.mark.parametrize("odd", ["NaN", "Infinity", float("nan"), float("-inf"), None, "many", 10**400])
def test_number_that_is_none_is_left_out_and_the_search_is_listed(odd: object) -> None:
    listed = _listed(run(front_size=odd, hypervolume=odd))
    assert (listed["front"], listed["hypervolume"], listed["ended"]) == (0, None, 3)


def test_numbers_are_as_they_are() -> None:
    listed = _listed(run(front_size=4.0, hypervolume=12.5))
    assert (listed["front"], listed["hypervolume"]) == (4, 12.5)


def test_published_points_stand_beside_the_trials() -> None:
    figures = {"metric": "wer", "error": 25, "macs_g": 90, "macs_of": "superb-32"}
    point = PublishedPoint(name="other", task="asr:an4", source="report 7", **figures)
    with_it = json.loads(page_document("r", search(12), Beside(points=[point])))
    without = json.loads(page_document("r", search(12)))
    assert with_it.pop("published") == {
        "label": "published",
        "points": [{"name": "other", "x": 90, "y": 25, "source": "report 7"}],
    }
    assert without.pop("published")["points"] == []
    assert with_it == without


def test_page_of_three_objectives_has_what_each_pair_of_axes_shows() -> None:
    made = search_of_three(30)
    page = json.loads(page_document("r", made))
    shown_on = [(pair["axes"]["x"], pair["axes"]["y"]) for pair in page["pairs"]]
    assert shown_on == [("macs", "wer"), ("macs", "eer"), ("wer", "eer")]
    assert {key: page[key] for key in page["pairs"][0]} == page["pairs"][0]
    by_number = {trial["number"]: trial["error"] for trial in page["trials"]}
    errors = [(by_number[n]["wer"]["value"], by_number[n]["eer"]["value"]) for n in page["pairs"][2]["line_through"]]
    # Along the line of two errors, one falls as the other rises.
    assert errors == sorted(errors)
    assert [eer for _, eer in errors] == sorted((eer for _, eer in errors), reverse=True)
    assert set(page["front"]) > set(page["pairs"][2]["line_through"])
    assert page["pairs"][2]["teacher"] == {"name": "teacher", "x": 11.2, "y": 12.0}
    assert [pair["axes"]["x_log"] for pair in page["pairs"]] == [True, True, False]


def one_line(err: InputError) -> None:
    assert "\n" not in str(err)


def no_constants(name: str) -> None:
    raise AssertionError(f"{name}: no browser reads this as JSON")


@given(st.dictionaries(st.sampled_from(["experiment_id", "run_name", "status", "start_time"]), odd), odd, odd, odd)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_odd_run_is_listed_or_its_parts_left_out(info: dict, value: object, step: object, tag: object) -> None:
    metrics = [{"key": "search/front_size", "value": value, "step": step}, {"value": value}]
    odd_run = {"info": {"run_id": "r", **info}, "data": {"metrics": metrics, "tags": [{"key": "k", "value": tag}, {}]}}
    json.loads(json.dumps(_listed(odd_run)))


@given(damaged_documents())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_damaged_record_gives_a_page_or_one_line(text: str) -> None:
    try:
        document = SearchDocument.checked_json(text)
        json.loads(page_document("r", document), parse_constant=no_constants)
        rows = [row.model_dump(mode="json") for row in compare_searches([document, document])]
        json.loads(plain_json(rows), parse_constant=no_constants)
    except InputError as err:
        one_line(err)
