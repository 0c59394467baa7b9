"""Label sets made before a search: which ones its document asks for, and that its trials find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from raysearch.cli import app
from raysearch.errors import InputError
from raysearch.lanes.workplace import Workplace
from raysearch.planning.label_sets import make_label_sets
from raysearch.planning.wanted_labels import asks_for_labels, searched_ranges, wanted_targets
from raysearch.spec.loading import load_spec
from raysearch.storage.folder import SearchFolder
from tests.search.made_up import spec_with

TINY = {"depth": 1, "width": 32, "heads": 2, "channels": 16}
DOCUMENT: dict[str, Any] = {
    "name": "made-before",
    "corpus": {
        "kind": "synthetic",
        "speakers": {"train": 2, "dev": 1, "test": 1},
        "utterances": {"train": 16, "dev": 4, "test": 4},
    },
    "teacher": {"source": "train", "method": "ctc", "updates": 3, "batch_s": 20, **TINY},
    "task": {"kind": "phonemes", "updates": 2, "lrs": [0.1]},
    "method": {"choice": ["dicehubert", "hubert", "unfused", "distilhubert"]},
    "student": {**TINY, "position_kernel": 15},
    "distillation": {"layers": [-1]},
    "training": {"batch_s": 10},
    "space": {"targets.clusters": {"choice": [4, 6]}},
    "search": {"updates": 1},
    "workers": {"use_gpu": False},
}


def build(place: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["targets", "build", str(place / "spec.yaml"), "--storage", str(place), *words])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A place where all label sets were built, and what the verb said of them."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("built")
    (place / "spec.yaml").write_text(yaml.safe_dump(DOCUMENT))
    found = build(place, "--json")
    assert found.exit_code == 0, found.output
    return place, json.loads(found.stdout)


def test_every_value_of_every_method_is_built(built: tuple[Path, dict[str, Any]]) -> None:
    sets = built[1]["label_sets"]
    # dicehubert's lie on the teacher's block, hubert's on MFCCs.
    assert sorted((one["kind"], one["layer"], one["clusters"]) for one in sets) == [
        *(("label set", layer, clusters) for layer in (0, 1) for clusters in (4, 6)),
        *(("pseudo-labels", 1, clusters) for clusters in (4, 6)),
    ]
    assert all(one["seconds"] is not None for one in sets)
    assert all(one["bytes"] > 0 for one in sets)


def test_second_call_finds_all_there(built: tuple[Path, dict[str, Any]]) -> None:
    place, first = built
    found = build(place)
    assert found.exit_code == 0
    *lines, last = found.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{one['kind']} {one['id']}" for one in first["label_sets"]]
    assert all(line.endswith(", there already") for line in lines)
    assert last == "no label sets: distilhubert asks for none"
    assert "preparing" not in found.stderr


@pytest.mark.parametrize("method", DOCUMENT["method"]["choice"])
def test_trials_ask_for_what_was_built(built: tuple[Path, dict[str, Any]], tmp_path: Path, method: str) -> None:
    place, first = built
    spec = load_spec(place / "spec.yaml")
    store = SearchFolder.of(str(place), spec.name).store
    config = {"method": method} if method == "distilhubert" else {"method": method, "targets.clusters": 6}
    for _ in Workplace.prepared(spec, store, torch.device("cpu")).run(0, config, 0, tmp_path):
        pass
    kept = [*store.label_sets.folders.ls(), *store.pseudo_labels.ls()]
    assert sorted(kept) == sorted(one["id"] for one in first["label_sets"])
    assert len(store.teachers.ls()) == 1


def test_layer_that_the_teacher_lacks_builds_nothing(built: tuple[Path, dict[str, Any]]) -> None:
    place, _ = built
    found = build(place, "--set", "targets.layer=3", "--set", "space={targets.clusters: {choice: [5]}}")
    assert isinstance(found.exception, InputError)
    assert str(found.exception) == "method dicehubert: targets.layer: 3; expected 1 to 1, or -1 for the last block"
    label_sets = SearchFolder.of(str(place), "").store.label_sets
    assert {one.clusters for one in label_sets.ls()} == {4, 6}


def test_more_clusters_than_frames_are_refused_before_the_teacher(tmp_path: Path) -> None:
    spec = spec_with(corpus=DOCUMENT["corpus"], space={}, targets={"clusters": 90_000})
    folder = SearchFolder(tmp_path, spec.name)
    with pytest.raises(InputError, match=r"^targets\.clusters: 90000; expected at most \d+, the frames"):
        next(make_label_sets(spec, folder, torch.device("cpu"), lambda _: None))
    assert folder.store.teachers.ls() == []


def clusters_and_layers(**changes: Any) -> list[tuple[int, int]]:
    return sorted({(one.clusters, one.layer) for one in wanted_targets(spec_with(**changes), "dicehubert")})


def test_choices_are_wanted_in_every_combination() -> None:
    space = {"targets.clusters": {"choice": [50, 100]}, "targets.layer": {"choice": [2, 4]}}
    assert clusters_and_layers(space=space) == [(50, 2), (50, 4), (100, 2), (100, 4)]


def test_of_a_range_only_what_the_search_starts_with_is_wanted() -> None:
    space = {"targets.clusters": {"int": [32, 512], "log": True}, "targets.layer": {"choice": [2, 4]}}
    assert searched_ranges(spec_with(space=space), "dicehubert") == ["targets.clusters"]
    assert clusters_and_layers(space=space) == []
    start = [{"targets.clusters": 64}, {"targets.clusters": 90, "targets.layer": 4}]
    assert clusters_and_layers(space=space, search={"start": start}) == [(64, 2), (64, 4), (90, 4)]


def test_label_sets_beside_the_first_are_wanted_too() -> None:
    targets = {"layer": 2, "clusters": 50, "more": [{"layer": 1, "clusters": 8}]}
    assert clusters_and_layers(space={}, targets=targets) == [(8, 1), (50, 2)]


def test_condition_that_does_not_hold_leaves_the_setting_as_it_is() -> None:
    space = {
        "student.depth": {"int": [1, 3]},
        "targets.layer": {"choice": [2, 4]},
        "targets.clusters": {"choice": [50], "when": {"targets.layer": 2, "student.depth": 3}},
    }
    assert clusters_and_layers(space=space) == [(50, 2), (500, 2), (500, 4)]


def wanted_of_unfused(**changes: Any) -> list[tuple[int, int]]:
    """Clusters and layers that some trial of the space can ask for."""
    spec = spec_with(method="unfused", student={}, **changes)
    return sorted({(one.clusters, one.layer) for one in wanted_targets(spec, "unfused")})


@pytest.mark.parametrize("control", ["random", "ssl", "oracle"])
def test_control_that_asks_for_no_labels_wants_none(control: str) -> None:
    fixed = {"distillation": {"control": control}}
    assert wanted_of_unfused(**fixed, space={"targets.clusters": {"choice": [4, 6]}}) == []
    ranged = spec_with(method="unfused", student={}, **fixed, space={"targets.clusters": {"int": [4, 6]}})
    assert not asks_for_labels(ranged, "unfused")
    assert searched_ranges(ranged, "unfused") == []


def test_labels_are_wanted_with_the_controls_that_ask() -> None:
    assert wanted_of_unfused(space={"targets.clusters": {"choice": [4, 6]}}) == [(4, -1), (6, -1)]
    space = {
        "distillation.control": {"choice": ["none", "shuffled", "random"]},
        "targets.clusters": {"choice": [4, 6], "when": {"distillation.control": ["shuffled", "random"]}},
        "targets.layer": {"choice": [2, 4], "when": {"distillation.control": "random"}},
    }
    assert wanted_of_unfused(space=space) == [(4, -1), (6, -1), (32, -1)]
