"""The list of searches, from runs that hold odd numbers."""

import pytest

from mlflow_server.searches import _listed


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
