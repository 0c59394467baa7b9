"""A server that lost everything is filled from a search's folder alone: its page is the old one."""

import optuna
import pytest

from raysearch.front.trials import Cost
from raysearch.search.reading import read_state
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.tracking.mirror import Mirror
from tests.mlflow_server.servers import Server, Visitor

pytestmark = pytest.mark.mlflow

DOCUMENT = {
    "name": "lost",
    "corpus": {"kind": "synthetic"},
    "teacher": {"source": "train"},
    "task": {"kind": "phonemes"},
    "method": "dicehubert",
    "space": {"student.depth": {"int": [1, 9]}, "training.lr": {"float": [1e-4, 1e-2], "log": True}},
}


@pytest.fixture
def search(tmp_path):
    """A folder with a study of no trials yet."""
    spec = parse_spec(DOCUMENT, where="lost")
    folder = SearchFolder(tmp_path, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    about = {
        "digest": spec.digest,
        "versions": {},
        "git_commit": None,
        "seed": 0,
        "trials": 5,
        "reference_point": [90.0, 100.0],
        "teacher": {"cost": {"macs_g": 80.0, "params_m": 9.0}, "metrics": {"eval/per": 5.0}},
    }
    Study.create(folder.study_storage(), spec.name, spec.objectives, about)
    return folder


def run_trial(folder, depth):
    """Deeper is better; trial 3 fails."""
    study = Study.open(folder.study_storage(), folder.name)
    number, _ = study.ask(folder.spec().search_space, optuna.samplers.RandomSampler(0), {"student.depth": depth})
    study.set_cost(number, Cost(macs_g=8.0 * depth, params_m=depth))
    per = 60.0 / depth
    study.report(number, 200, {"eval/per": per, "eval/per_low": per - 3, "eval/per_high": per + 3})
    study.end(number, "failed" if number == 3 else "complete", error="no more" if number == 3 else None)


def page(server, name):
    """What the page shows of a search, without the ids that each server gives."""
    visitor = Visitor(server)
    listed = visitor.search(name)
    document = visitor.api(f"searches/{listed['id']}")
    return [{key: value for key, value in one.items() if key not in ("id", "experiment")} for one in (listed, document)]


def test_sync_into_an_empty_server_gives_the_same_page(server, search, tmp_path, raysearch):
    for depth in (2, 7, 1, 5, 4):
        run_trial(search, depth)
        Mirror(server.url).sync(read_state(search))
    (tmp_path / "server").mkdir()
    empty = Server(tmp_path / "server").start()
    try:
        assert Visitor(empty).api("searches")["searches"] == []
        code, out, _ = raysearch("sync", search.name, "--storage", search.root, "--tracking", empty.url)
        assert code == 0
        assert "6 runs" in out
        listed, document = page(empty, search.name)
        assert (listed, document) == tuple(page(server, search.name))
        assert (listed["ended"], document["front"]) == (5, [2, 0, 4, 1])
    finally:
        empty.kill()
