"""A real server that dies at the start, in the middle and at the end of a search: all is there afterwards, and once."""

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raysearch.tracking.mirror import Mirror, Synced
from tests.mlflow_server.servers import Server
from tests.tracking.made_up_states import record, state

pytestmark = pytest.mark.mlflow

# What the mirror is shown, one state after the other.
STATES = [
    [record(0, "running", rung=None)],
    [record(0), record(1, "running", rung=50, wer=60.0), record(2, "stopped")],
    [record(0), record(1), record(2, "stopped"), record(3)],
]
SHOTS = [
    pytest.param("start", 3, marks=pytest.mark.slow),
    ("middle", 9),
    pytest.param("end", 12, marks=pytest.mark.slow),
]
"""At which state the server dies, and at which of the requests since."""


class Killer:
    """A client whose server is killed just before its so many-th request."""

    def __init__(self, server, requests):
        self.server, self.requests, self.client = server, requests, MlflowClient(server.url)

    def __getattr__(self, name):
        def request(*args, **kwargs):
            self.requests -= 1
            if self.requests == 0:
                self.server.kill()
            return getattr(self.client, name)(*args, **kwargs)

        return request


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mortal")).start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("draw_png", "draw_html", "draw_settings"):
        monkeypatch.setattr(f"raysearch.tracking.mirror.{name}", lambda *given: given[-1].write_text(given[0].name))


def contents(server, name):
    client = MlflowClient(server.url)
    runs = client.search_runs([client.get_experiment_by_name(f"raysearch/{name}").experiment_id])
    return sorted(
        (
            run.data.tags.get("raysearch.trial", ""),
            run.info.status,
            sorted(run.data.params.items()),
            [
                (key, [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)])
                for key in sorted(run.data.metrics)
            ],
            sorted(item.path for item in client.list_artifacts(run.info.run_id)),
        )
        for run in runs
    )


@pytest.mark.parametrize(("phase", "requests"), SHOTS)
def test_search_whose_server_was_killed_is_whole_and_nothing_is_twice(mortal, phase, requests):
    name, dies_at = f"killed-{phase}", ("start", "middle", "end").index(phase)
    for number, records in enumerate(STATES):
        if number == dies_at:
            with pytest.raises(MlflowException):
                Mirror(mortal.url, client=Killer(mortal, requests)).sync(state(records, name))
            mortal.start()
        Mirror(mortal.url).sync(state(records, name))
    for records in STATES:
        Mirror(mortal.url).sync(state(records, f"{name}-whole"))
    assert Mirror(mortal.url).sync(state(STATES[-1], name)) == Synced()
    killed, whole = contents(mortal, name), contents(mortal, f"{name}-whole")
    assert [trial for trial, *_ in killed] == ["", "0", "1", "2", "3"]
    assert repr(killed).replace(name, "X") == repr(whole).replace(f"{name}-whole", "X")
