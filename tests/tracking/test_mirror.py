"""The mirror against a real SQLite store, and against a server that dies between two requests."""

import json
from math import nan

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raysearch.files.databases import sqlite_file, sqlite_url
from raysearch.front.trials import SharedTraining
from raysearch.tracking.mirror import Mirror, OutOfTimeError, Synced
from tests.tracking.made_up_states import record, state

pytestmark = pytest.mark.mlflow
ODD = "what? #%20x"


class Flaky:
    """A client that lets so many requests through. With `late` the next one arrives too, but unanswered."""

    def __init__(self, client, requests, late=False):
        self.client, self.requests, self.late = client, requests, late

    def __getattr__(self, name):
        def request(*args, **kwargs):
            self.requests -= 1
            if self.requests == -1 and self.late:
                getattr(self.client, name)(*args, **kwargs)
            if self.requests < 0:
                raise MlflowException("connection lost")
            return getattr(self.client, name)(*args, **kwargs)

        return request


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """(tracking URI, artifact root) of one database for all tests: making one takes seconds.

    Its folder has a name that no address can hold as it is.
    """
    folder = tmp_path_factory.mktemp("mlflow") / ODD
    folder.mkdir()
    return sqlite_url(folder / "mlflow.db"), (folder / "artifacts").as_uri()


@pytest.fixture(scope="module")
def client(store):
    return MlflowClient(tracking_uri=store[0])


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    for name in ("draw_png", "draw_html", "draw_settings"):
        monkeypatch.setattr(f"raysearch.tracking.mirror.{name}", lambda *given: given[-1].write_text(given[0].name))


def all_runs(client, name):
    experiment = client.get_experiment_by_name(f"raysearch/{name}")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = sorted(
        (run for run in runs if run not in parents), key=lambda run: int(run.data.tags["raysearch.trial"])
    )
    assert all(child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for child in children)
    return parents[0], children


def contents(client, name):
    """All that users see of a search in MLflow, without ids and digests."""
    hidden = ("mlflow.parentRunId", "raysearch.mirrored")  # ids and digests
    found = []
    for run in (lambda parent, children: [parent, *children])(*all_runs(client, name)):
        histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        found.append(
            (
                run.info.run_name,
                run.info.status,
                run.info.end_time,
                run.data.params,
                {key: text for key, text in run.data.tags.items() if key not in hidden},
                {key: [(m.step, m.value, m.timestamp) for m in history] for key, history in histories.items()},
                sorted(item.path for item in client.list_artifacts(run.info.run_id)),
            )
        )
    return found + [
        (model.name, model.status, model.params, model.tags, sorted((m.key, m.step, m.value) for m in model.metrics))
        for model in logged_models(client, name)
    ]


def logged_models(client, name, wanted=None):
    experiment = client.get_experiment_by_name(f"raysearch/{name}")
    return sorted(client.search_logged_models([experiment.experiment_id], wanted), key=lambda model: model.name)


def test_training_that_trials_share_has_a_run_of_its_own_beside_them(store, client):
    supernet = SharedTraining(method="supernet", digest="ab12", seconds=60.0, cpu_seconds=110.0)
    searched = state([record(0)], "shared", shared=[supernet])
    with pytest.raises(MlflowException):
        Mirror(*store, client=Flaky(client, requests=7)).sync(searched)
    Mirror(*store).sync(searched)
    experiment = client.get_experiment_by_name("raysearch/shared")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if "raysearch.shared" in run.data.tags]
    (trial,) = [run for run in runs if "raysearch.trial" in run.data.tags]
    assert run.data.tags["mlflow.parentRunId"] == trial.data.tags["mlflow.parentRunId"]
    assert (run.info.run_name, run.info.status) == ("supernet-shared", "FINISHED")
    assert run.info.end_time == trial.info.start_time == run.info.start_time + 60_000
    loss = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in loss] == [(10 * n, 1 / n) for n in range(1, 11)]
    assert loss[0].timestamp == run.info.start_time + 900
    assert run.data.metrics["cost/cpu_seconds"] == 110.0
    assert str(Mirror(*store).sync(searched)) == "MLflow has all of the search"


def test_front_members_are_logged_models_that_a_question_finds(store, client):
    records = [record(0), record(1), record(2, wer=90.0), record(3, "running", wer=1.0, rung=50)]
    Mirror(*store).sync(state(records, "candidates"))
    assert [model.name for model in logged_models(client, "candidates")] == ["trial-0000", "trial-0001"]
    (better,) = logged_models(client, "candidates", "metrics.`eval/wer` < 39 AND tags.`raysearch.pareto` = 'true'")
    metrics = {metric.key: (metric.step, metric.value) for metric in better.metrics}
    assert (metrics["eval/wer"], metrics["cost/macs_g"]) == ((100, 38.0), (0, 50.0))
    assert (better.status, better.params["student.depth"], better.tags["raysearch.trial"]) == ("READY", "2", "1")
    run = all_runs(client, "candidates")[1][1]
    assert (better.source_run_id, run.outputs.model_outputs[0].model_id) == (run.info.run_id, better.model_id)
    assert len(client.get_metric_history(run.info.run_id, "eval/wer")) == 1


def test_metric_that_is_no_number_is_not_told_of_a_candidate_as_zero(store, client):
    Mirror(*store).sync(state([record(0, metrics={"eval/wer": 40.0, "eval/other": nan})], "no-number"))
    (model,) = logged_models(client, "no-number")
    assert {metric.key for metric in model.metrics} == {"eval/wer", "cost/macs_g", "cost/params_m"}


def test_candidate_that_leaves_the_front_stays_and_says_so(store, client):
    better = record(1, cost={"macs_g": 1, "params_m": 1})
    Mirror(*store).sync(state([record(0, wer=50.0)], "leave"))
    assert str(Mirror(*store).sync(state([record(0, wer=50.0), better], "leave"))).endswith("1 model")
    assert [model.tags["raysearch.pareto"] for model in logged_models(client, "leave")] == ["false", "true"]


def test_experiment_opens_on_its_runs_unless_somebody_chose_otherwise(store, client):
    Mirror(*store).sync(state([record(0)], "kind"))
    experiment = client.get_experiment_by_name("raysearch/kind")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    client.set_experiment_tag(experiment.experiment_id, "mlflow.experimentKind", "genai_development")
    Mirror(*store).sync(state([record(0), record(1)], "kind"))
    assert client.get_experiment_by_name("raysearch/kind").tags["mlflow.experimentKind"] == "genai_development"


def test_empty_store_is_filled_and_a_second_sync_writes_nothing(store, client, monkeypatch):
    monkeypatch.undo()  # real pictures, once
    records = [
        record(0),
        record(1, "stopped"),
        record(2, "failed", error="NaN loss", cause="nan"),
        record(3, "running"),
    ]
    records.append(record(4, "infeasible", metrics={}, rung=None, ended_s=1.7e9 + 400))
    example = state(records, "fill")
    synced = Mirror(*store).sync(example)
    assert (synced.runs, synced.artifacts) == (6, 6)
    before = contents(client, "fill")
    assert Mirror(*store).sync(example) == Synced()
    assert contents(client, "fill") == before

    parent, children = all_runs(client, "fill")
    assert [child.info.status for child in children] == ["FINISHED", "KILLED", "FAILED", "RUNNING", "KILLED"]
    assert parent.info.status == "RUNNING"
    assert [child.info.run_name for child in children][:2] == ["trial-0000", "trial-0001"]
    assert children[0].info.end_time == 1_700_000_090_000
    assert children[0].data.params == {
        "method": "dicehubert", "student.depth": "1", "training.lr": "0.0005", "layers": "[1, 2]",
    }  # fmt: skip
    assert children[0].data.metrics["eval/wer"] == 40
    assert children[2].data.tags["raysearch.cause"] == "nan"
    history = client.get_metric_history(parent.info.run_id, "search/hypervolume")
    assert [(point.step, point.value) for point in history] == [(n, 360 * 60) for n in (1, 2, 3, 4)]
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert files == {"front.json", "front.html", "front.png", "importances.json", "settings.html", "spec.yaml"}
    spec = client.download_artifacts(parent.info.run_id, "spec.yaml")
    with open(spec) as file:
        assert yaml.safe_load(file) == example.spec


def test_pruned_trial_then_its_run_has_the_picture_of_what_is_left_once(store, client, tmp_path):
    (tmp_path / "trials" / "0000").mkdir(parents=True)
    left = {"left": [3, 4], "before": [8, 8]}
    (tmp_path / "trials/0000/left.json").write_text(json.dumps({"channels": left, "heads": left, "ffn": left}))
    pruned = record(0, checkpoint="trials/0000/student")
    mirror = Mirror(*store)
    mirror.sync(state([pruned.model_copy(update={"state": "running", "ended_s": None})], "left", folder=tmp_path))
    _, (child,) = all_runs(client, "left")
    assert client.list_artifacts(child.info.run_id) == []
    assert mirror.sync(state([pruned, record(1)], "left", folder=tmp_path)).artifacts == 7
    _, children = all_runs(client, "left")
    files = [{item.path for item in client.list_artifacts(child.info.run_id)} for child in children]
    assert files == [{"left.png"}, set()]
    assert mirror.sync(state([pruned, record(1)], "left", folder=tmp_path)).artifacts == 0


def test_growing_search_equals_one_mirrored_at_the_end(store, client):
    mirror = Mirror(*store)
    mirror.sync(state([record(0, "running", rung=None)], "grow", lines=3))
    mirror.sync(state([record(0, "running", rung=50, wer=60.0)], "grow", lines=5))
    mirror.sync(state([record(0), record(1, "running", rung=None)], "grow", lines=10))
    mirror.sync(state([record(0), record(1, cause="oom", state="failed")], "grow", lines=10))
    mirror.sync(state([record(0), record(1)], "grow", lines=10))
    Mirror(*store).sync(state([record(0), record(1)], "whole", lines=10))

    grown, whole = all_runs(client, "grow"), all_runs(client, "whole")
    for ours, theirs in zip([grown[0], *grown[1]], [whole[0], *whole[1]], strict=True):
        assert ours.data.metrics == theirs.data.metrics
        assert ours.info.status == theirs.info.status == "FINISHED"
        assert set(ours.data.tags) == set(theirs.data.tags)
    history = client.get_metric_history(grown[1][0].info.run_id, "eval/wer")
    assert [(point.step, point.value) for point in history] == [(50, 60.0), (100, 40.0)]
    losses = client.get_metric_history(grown[1][0].info.run_id, "train/loss")
    assert [point.step for point in losses] == list(range(10, 101, 10))


@pytest.mark.parametrize("late", [False, True])
def test_sync_cut_off_at_each_request_is_completed_without_doubles(store, client, late):
    def wide(number):  # 1,200 points: two batches
        return [{"step": n, "seconds": n, "metrics": {f"train/{k}": n * k for k in range(8)}} for n in range(150)]

    records = [record(0), record(1, "stopped", metrics={"eval/wer": nan})]
    example, whole = (state(records, f"{name}-{late}", curves=wide) for name in ("cut", "uncut"))
    for requests in range(100):
        # A new mirror each time: nothing but what MLflow holds may matter.
        try:
            Mirror(*store, client=Flaky(client, requests, late)).sync(example)
            break
        except MlflowException:
            continue
    assert 5 < requests < 99
    Mirror(*store).sync(whole)
    cut, uncut = (repr(contents(client, s.document.name)).replace(s.document.name, "X") for s in (example, whole))
    assert cut == uncut


def test_curves_are_thinned(store, client):
    Mirror(*store).sync(state([record(0)], "long", lines=3000))
    run = all_runs(client, "long")[1][0]
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]
    assert 100 <= len(steps) == len(set(steps)) <= 200
    assert steps[-1] == 30_000


def test_front_membership_follows_the_search(store, client):
    Mirror(*store).sync(state([record(0, wer=50.0)], "move"))
    Mirror(*store).sync(state([record(0, wer=50.0), record(1, cost={"macs_g": 1, "params_m": 1})], "move"))
    assert [run.data.tags["raysearch.pareto"] for run in all_runs(client, "move")[1]] == ["false", "true"]


def test_resumed_search_runs_again(store, client):
    Mirror(*store).sync(state([record(0)], "again"))
    assert all_runs(client, "again")[0].info.status == "FINISHED"
    Mirror(*store).sync(state([record(0), record(1, "running")], "again"))
    assert all_runs(client, "again")[0].info.status == "RUNNING"


def test_same_name_with_another_spec_is_another_search(store, client):
    Mirror(*store).sync(state([record(0)], "shared"))
    Mirror(*store).sync(state([record(0)], "shared", spec_hash="other"))
    experiment = client.get_experiment_by_name("raysearch/shared")
    runs = client.search_runs([experiment.experiment_id])
    assert len({run.data.tags.get("mlflow.parentRunId") for run in runs}) == 3


def parents(client, name):
    """The searches' own runs by their token, with the numbers of the runs below each."""
    runs = client.search_runs([client.get_experiment_by_name(f"raysearch/{name}").experiment_id])
    own = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = {run.info.run_id: [] for run in own}
    for run in runs:
        if run not in own:
            below[run.data.tags["mlflow.parentRunId"]].append(run.data.tags["raysearch.trial"])
    return {run.data.tags.get("raysearch.token", ""): sorted(below[run.info.run_id]) for run in own}


def test_same_name_and_spec_in_another_folder_is_another_search(store, client):
    Mirror(*store).sync(state([record(0)], "both", token="t1"))
    Mirror(*store).sync(state([record(0), record(1)], "both", token="t2"))
    assert str(Mirror(*store).sync(state([record(0)], "both", token="t1"))) == "MLflow has all of the search"
    Mirror(*store).sync(state([record(2)], "both"))
    assert parents(client, "both") == {"t1": ["0"], "t2": ["0", "1"], "": ["2"]}


def test_run_that_an_earlier_version_made_is_gone_on_with(store, client):
    Mirror(*store).sync(state([record(0)], "older"))
    Mirror(*store).sync(state([record(0), record(1)], "older", token="t1"))
    assert parents(client, "older") == {"t1": ["0", "1"]}


def test_expired_sync_stops_at_its_next_request(store, client):
    asked = iter([False] * 4 + [True] * 9)
    with pytest.raises(OutOfTimeError):
        Mirror(*store).sync(state([record(0)], "late"), expired=lambda: next(asked))
    assert next(asked)


def test_mirror_leaves_the_working_directory_alone(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Mirror(*store).sync(state([record(0)], "tidy"))
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_a_trial_are_artifacts_of_its_run(store, client, tmp_path):
    student = tmp_path / "trials/0000/student"
    student.mkdir(parents=True)
    (student.parent / "speaker.png").write_bytes(b"a DET plot")
    Mirror(*store).sync(state([record(0, checkpoint="trials/0000/student")], "det", folder=tmp_path))
    (run,) = all_runs(client, "det")[1]
    assert "speaker.png" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]


def test_what_was_sent_is_told_as_a_sentence():
    assert str(Synced(runs=1, metrics=2_000)) == "sent to MLflow: 1 run, 2,000 metrics"
    assert str(Synced()) == "MLflow has all of the search"


def test_all_files_lie_below_the_folder_whatever_its_name(store):
    Mirror(*store).sync(state([record(0)], "odd"))
    folder = sqlite_file(store[0]).parent
    assert [path.name for path in folder.parent.iterdir()] == [ODD]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "artifacts"}
    assert list((folder / "artifacts" / "odd").rglob("front.json"))


def test_search_whose_driver_is_gone_does_not_run_until_it_is_taken_up_again(store, client):
    records = [record(0), record(1, "running")]

    def statuses(**changes):
        Mirror(*store).sync(state(records, "left", **changes))
        parent, children = all_runs(client, "left")
        return [run.info.status for run in (parent, *children)]

    assert statuses() == ["RUNNING", "FINISHED", "RUNNING"]
    assert statuses(abandoned="interrupted") == ["KILLED", "FINISHED", "KILLED"]
    assert statuses(abandoned="failed") == ["FAILED", "FINISHED", "KILLED"]
    assert statuses() == ["RUNNING", "FINISHED", "RUNNING"]
