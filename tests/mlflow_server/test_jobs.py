"""Jobs that register a model, with other commands in place of the real one, and what a server lacks for them."""

import json
import os
import sys
import time

import pytest

from mlflow_server import jobs, register
from mlflow_server.jobs import Jobs, Order
from raysearch.errors import InputError
from raysearch.tracking import tags

MADE = {"picks": [{"registered": {"uri": "models:/phones@candidate", "version": 3}}]}


@pytest.fixture
def command(monkeypatch):
    """Sets what jobs run."""

    def use(script):
        monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", script))

    return use


def order(**changes):
    return Order(**{"run_id": "r", "search": "an4", "trial": 2, "model": "phones", "alias": "candidate", **changes})


def ended(all_jobs, run_id="r"):
    """The latest job, once it has ended."""
    while (job := all_jobs.of(run_id)[0]).state == "running":
        time.sleep(0.01)
    return job


def test_job_that_registers_says_which_version(tmp_path, command):
    command(f"import sys; print('measuring', file=sys.stderr); print('''{json.dumps(MADE)}''')")
    Jobs(tmp_path).start(order(), "http://here", {})
    job = ended(Jobs(tmp_path))
    assert (job.state, job.version, job.line) == ("done", 3, "models:/phones@candidate")


def test_job_runs_pick_with_this_trial_as_the_caller(tmp_path, command):
    command("import sys, os; sys.exit(' '.join([*sys.argv[1:], os.environ['MLFLOW_TRACKING_USERNAME']]))")
    Jobs(tmp_path).start(order(), "http://here", {"MLFLOW_TRACKING_USERNAME": "ada"})
    words = "pick an4 --trial 2 --register phones --alias candidate --json --storage"
    assert ended(Jobs(tmp_path)).line == f"{words} {tmp_path} --tracking http://here ada"


def test_job_that_fails_says_its_last_line(tmp_path, command):
    command("import sys; sys.exit('trial 2: first\\ntrial 2: it differs\\n')")
    Jobs(tmp_path).start(order(), "http://here", {})
    job = ended(Jobs(tmp_path))
    assert (job.state, job.line, job.version) == ("failed", "trial 2: it differs", None)


def test_running_job_is_seen_by_others_and_killed_it_has_failed(tmp_path, command):
    command("import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(600)")
    Jobs(tmp_path).start(order(), "http://here", {})
    while (job := Jobs(tmp_path).of("r")[0]).line == "starting":
        time.sleep(0.01)
    assert job.state == "running"
    assert Jobs(tmp_path).of("another search") == []
    for other in (order(trial=5), order(model="other")):
        with pytest.raises(InputError, match="is being registered as phones@candidate"):
            Jobs(tmp_path).start(other, "http://here", {})
    os.kill(int(job.line), 9)
    assert ended(Jobs(tmp_path)).state == "failed"


def test_model_is_free_again_when_its_job_has_ended(tmp_path, command):
    command("raise SystemExit('no')")
    for number in range(3):
        Jobs(tmp_path).start(order(trial=number), "http://here", {})
        assert ended(Jobs(tmp_path)).order.trial == number


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """A storage with one search of a token and one from before there were tokens."""
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(tmp_path))
    for name, links in (("new", {"token": "t1"}), ("old", {"study": ""})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "search.json").write_text(json.dumps(links))
    return tmp_path


def test_search_that_lies_in_the_storage_can_be_registered(storage):
    assert register.lacking({tags.SEARCH: "new", tags.TOKEN: "t1"}) == ""
    assert register.lacking({tags.SEARCH: "old", tags.FOLDER: str(storage / "old")}) == ""


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({tags.SEARCH: "new", tags.TOKEN: "t2"}, "new: this server's storage holds another search of this name"),
        ({tags.SEARCH: "old", tags.FOLDER: "/elsewhere/old"}, "old: this server's storage holds another search"),
        ({tags.SEARCH: "gone", tags.TOKEN: "t1"}, "gone: this server's storage does not hold it"),
        ({tags.SEARCH: "../new", tags.TOKEN: "t1"}, "../new: not a search's name"),
        ({tags.SEARCH: "--help", tags.TOKEN: "t1"}, "--help: not a search's name"),
        ({}, ": not a search's name"),
    ],
)
def test_search_that_does_not_lie_there_cannot(storage, about, why):
    assert register.lacking(about).startswith(why)


@pytest.mark.parametrize("value", ["", "s3://bucket/searches", "postgresql://host/studies"])
def test_server_without_a_folder_of_searches_has_none_to_register_from(monkeypatch, value):
    monkeypatch.setenv("RAYSEARCH_STORAGE", value)
    assert "names no folder" in register.lacking({tags.SEARCH: "new"})
