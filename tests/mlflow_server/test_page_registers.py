"""A trial that is registered from the page, in a browser: as `raysearch pick --register` leaves it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from playwright.sync_api import sync_playwright

from raysearch.search.reading import read_document, read_state
from raysearch.tracking.mirror import Mirror
from tests.deploy.conftest import search as search  # a real search of two tiny trials
from tests.mlflow_server.servers import Server, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.mlflow]
LONG_MS = 180_000
LOAD = """
import json, sys, mlflow, numpy as np
flavour = sys.argv[1]
try:
    model = getattr(mlflow, flavour).load_model("models:/phones@candidate")
except mlflow.exceptions.MlflowException as err:
    print(json.dumps(str(err)))
else:
    audio = {"audio": np.zeros((1, 16000), np.float32), "samples": np.array([16000])}
    got = model.predict(audio)["text"].tolist() if flavour == "pyfunc" else [one.name for one in model.graph.input]
    print(json.dumps(got))
"""


@pytest.fixture(scope="module")
def server(search, tmp_path_factory):
    """A server whose storage holds the search, which is mirrored there."""
    server = Server(tmp_path_factory.mktemp("served"), env={"RAYSEARCH_STORAGE": str(search.root)}).start()
    Mirror(server.url).sync(read_state(search))
    yield server
    server.kill()


@pytest.fixture
def page(server):
    """The page on the search."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(LONG_MS)
        page.goto(server.page)
        page.wait_for_selector("#front button")
        yield page
        browser.close()


def load(server, flavour, folder, allowed):
    """What a fresh process makes of the registered model."""
    env = os.environ | {"MLFLOW_ALLOW_MODEL_CODE_EXECUTION": allowed, "MLFLOW_TRACKING_URI": server.url}
    found = subprocess.run([sys.executable, "-c", LOAD, flavour], cwd=folder, env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def click(page, model, alias, go="Register"):
    page.locator("#front button").nth(0).click()
    page.locator("#model").fill(model)
    page.locator("#alias").fill(alias)
    page.get_by_role("button", name=go, exact=True).last.click()


def test_click_exports_verifies_and_registers_and_a_reload_finds_the_job(server, search, page, tmp_path):
    click(page, "phones", "candidate")
    page.get_by_text("Registering phones@candidate").wait_for()
    page.reload()
    page.get_by_text("Registered phones version 1 as candidate").wait_for()

    client = MlflowClient(server.url)
    version = client.get_model_version_by_alias("phones", "candidate")
    number = int(version.tags["raysearch.trial"])
    manifest = json.loads((search.path / f"exports/{number:04d}-phonemes/export.json").read_text())
    assert version.tags["raysearch.sha256"] == manifest["files"]["model.onnx"]
    assert float(version.tags["raysearch.test_per"]) == pytest.approx(
        manifest["measured"][0]["error"]["value"], abs=0.01
    )
    experiment = client.get_experiment_by_name("raysearch/made-up").experiment_id
    models = {model.name: model for model in client.search_logged_models([experiment])}
    front = read_document(search).front
    assert number in front
    assert set(models) == {*(f"trial-{member:04d}" for member in front), f"trial-{number:04d}-export"}
    assert version.source == f"models:/{models[f'trial-{number:04d}-export'].model_id}"
    assert client.get_run(models[f"trial-{number:04d}"].source_run_id).data.tags["raysearch.candidate"] == "phones"

    assert load(server, "onnx", tmp_path, "false") == ["audio", "samples"]
    assert len(load(server, "pyfunc", tmp_path, "true")) == 1

    # A second click is told who holds the alias, and moves it only when asked.
    click(page, "phones", "candidate")
    page.get_by_text("phones@candidate is version 1, which was verified").wait_for()
    assert client.get_model_version_by_alias("phones", "candidate").version == version.version
    page.get_by_role("button", name="Move the alias").click()
    page.get_by_text("Registered phones version 2 as candidate").wait_for()


def test_trial_that_is_not_on_the_front_is_refused(server):
    visitor = Visitor(server)
    answer = visitor.register(visitor.search("made-up")["id"], trial=99, model="m", alias="a")
    assert (answer.status_code, answer.json()["reason"]) == (400, "made-up: trial: 99; expected a member of the front")


def test_job_that_fails_is_told_in_one_line(server, search, page):
    # MLflow takes no such alias, and says so of no other part.
    click(page, "phones2", "latest")
    said = page.get_by_text("Not registered: phones2@latest")
    said.wait_for()
    assert "--alias: latest" in said.text_content()
