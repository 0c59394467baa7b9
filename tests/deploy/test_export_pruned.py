"""A pruned trial is shipped like any other: its graph costs what the trial reported."""

import onnx
import optuna
import pytest
import torch

from raysearch.deploy.export import export_trial
from raysearch.deploy.manifest import load_manifest
from raysearch.deploy.verify import verify
from raysearch.encoder import cost
from raysearch.encoder.document import read_config
from raysearch.exported.onnx_cost import graph_macs
from raysearch.lanes.workplace import Workplace
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder


@pytest.fixture
def pruned(search: SearchFolder) -> SearchFolder:
    """A search of one pruned trial, beside the made-up one and on its corpus."""
    document = search.spec().model_dump(mode="json", by_alias=True, exclude_none=True)
    own = {"name": "pruned", "method": "hjpruning", "space": {"pruning.macs_ratio": {"float": [0.4, 1.0]}}}
    dropped = {"student": {}, "targets": {}, "prediction": {}}
    spec = parse_spec({**document, **own, **dropped}, where="pruned")
    folder = SearchFolder(search.root, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    study = Study.create(
        folder.study_storage(), spec.name, spec.objectives, Study.open(search.study_storage(), search.name).about
    )
    point = {"pruning.macs_ratio": 0.5}
    number, config = study.ask(spec.search_space, optuna.samplers.RandomSampler(0), point)
    workplace = Workplace(spec, folder.store, search.root / "teacher", torch.device("cpu"))
    for report in workplace.run(number, config, 0, folder.trial(number)):
        study.report(number, report.step, dict(report.metrics))
    study.end(number, "complete")
    return folder


def test_pruned_trial_then_its_export_verifies_and_costs_what_was_reported(pruned: SearchFolder, tmp_path) -> None:
    manifest = export_trial(pruned, 0, tmp_path / "out")
    verdict = verify(tmp_path / "out")
    assert verdict.ok, verdict.table()
    whole, left = (
        read_config(folder / "config.json") for folder in (pruned.root / "teacher", pruned.trial(0) / "student")
    )
    assert cost.macs_superb(left) == pytest.approx(0.5 * cost.macs_superb(whole), rel=0.01)
    assert load_manifest(tmp_path / "out").macs_g == manifest.macs_g == cost.macs_superb(left) / 1e9
    graph = onnx.load(tmp_path / "out/model.onnx")
    assert graph_macs(graph, 48_000).encoder == cost.macs(left, 48_000) < 0.6 * cost.macs(whole, 48_000)
