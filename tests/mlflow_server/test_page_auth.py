"""With authentication on: the page and its API let each caller do what MLflow lets them do, and no more."""

import pytest
import requests
from mlflow import MlflowClient

from tests.mlflow_server.filling import fill, trials
from tests.mlflow_server.servers import Server, Visitor

pytestmark = pytest.mark.mlflow

ADMIN = ("admin", "a-long-admin-password")
USERS = {name: (name, f"a-long-{name}-password") for name in ("reader", "editor", "stranger")}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server whose users see nothing by default; a reader and an editor of one search."""
    folder = tmp_path_factory.mktemp("guarded")
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\nadmin_password = {ADMIN[1]}\n"
    )
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of these tests"}
    env["RAYSEARCH_STORAGE"] = str(folder)
    server = Server(folder, env=env).start()
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    try:
        fill(server, folder, "secret", trials(2))
        (folder / "secret/search.json").write_text("{}")
        experiment = MlflowClient(server.url).get_experiment_by_name("raysearch/secret").experiment_id
        for name, password in USERS.values():
            post(server, "users/create", username=name, password=password)
        for name, permission in (("reader", "READ"), ("editor", "EDIT")):
            post(
                server, "users/permissions/grant", username=name, resource_type="experiment", resource_id=experiment,
                permission=permission,
            )  # fmt: skip
        yield server
    finally:
        patch.undo()
        server.kill()


def post(server, endpoint, **body):
    for version in ("2.0", "3.0"):
        answer = requests.post(f"{server.url}/api/{version}/mlflow/{endpoint}", json=body, auth=ADMIN, timeout=240)
        if answer.status_code != 404:
            break
    assert answer.ok, answer.text


@pytest.fixture(scope="module")
def search_id(guarded):
    return Visitor(guarded, ADMIN).search("secret")["id"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "assets/page.js",
        "assets/vendor/plotly-basic.min.js",
        "api/searches",
        "api/searches/{id}",
        "api/compare",
        "nothing",
    ],
)
@pytest.mark.parametrize("auth", [None, ("reader", "wrong")])
def test_whom_mlflow_does_not_know_gets_401_everywhere(guarded, search_id, path, auth):
    answer = requests.get(guarded.page + path.format(id=search_id), auth=auth, timeout=240)
    assert answer.status_code == 401
    assert "basic" in answer.headers["www-authenticate"].lower()


def test_anonymous_cannot_register(guarded, search_id):
    answer = Visitor(guarded).register(search_id, trial=0, model="m", alias="a")
    assert answer.status_code == 401


def test_stranger_sees_no_search(guarded, search_id):
    visitor = Visitor(guarded, USERS["stranger"])
    assert visitor.api("searches")["searches"] == []
    assert visitor.get(f"{visitor.page}api/searches/{search_id}", timeout=240).status_code == 403


def test_document_that_an_editor_loaded_is_not_shown_to_a_stranger(guarded, search_id):
    Visitor(guarded, USERS["editor"]).api(f"searches/{search_id}")
    stranger = Visitor(guarded, USERS["stranger"])
    assert stranger.get(f"{stranger.page}api/searches/{search_id}", timeout=240).status_code == 403


def test_reader_may_look_and_not_register(guarded, search_id):
    visitor = Visitor(guarded, USERS["reader"])
    assert visitor.search("secret")["front"] == 2
    assert visitor.api(f"searches/{search_id}")["front"] == [0, 1]
    assert visitor.register(search_id, trial=0, model="mine", alias="a").status_code == 403
    registered = requests.get(f"{guarded.url}/api/2.0/mlflow/registered-models/search", auth=ADMIN, timeout=240).json()
    assert "mine" not in [model["name"] for model in registered.get("registered_models", [])]


def test_editor_may_register(guarded, search_id):
    answer = Visitor(guarded, USERS["editor"]).register(search_id, trial=0, model="ours", alias="phone")
    assert answer.status_code == 202, answer.text
    assert answer.json()["order"]["model"] == "ours"


def test_stranger_sees_no_jobs(guarded, search_id):
    answer = Visitor(guarded, USERS["stranger"]).get(f"{guarded.page}api/searches/{search_id}/registrations")
    assert answer.status_code == 403
