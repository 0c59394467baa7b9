"""Trials that are judged by the file that is shipped: they record what it does, and share one training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysearch.deploy.export import export_trial
from raysearch.deploy.measured_exports import MeasuredExports
from raysearch.deploy.reproduce import reproduce
from raysearch.deploy.verify import verify
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, agreeing, read_evidence
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.evidence.texts import read_texts
from raysearch.exported.latency import Load
from raysearch.exported.onnx_file import onnx_name
from raysearch.front.trials import TrialRecord
from raysearch.lanes.lane import LaneSetup
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.training.report import REPORT_NAME
from raysearch.training.trainer import Trainer
from tests.search.lanes_here import run_lanes_here
from tests.search.made_up import TEACHER

PRECISIONS = ["int8", "fp32", "int8-static-conv"]
"""The precisions of the trials, in order. The first trial trains, and the others have its student."""
UPDATES = 30


@pytest.fixture(scope="module")
def spec(search: SearchFolder) -> Spec:
    document = search.spec().model_dump(mode="json", by_alias=True, exclude_none=True)
    start = [{"deploy.precision": precision} for precision in PRECISIONS]
    changes: dict[str, Any] = {
        "name": "precisions",
        "student": {**document["student"], "depth": 1},
        "training": {"batch_s": 6, "lr": 5e-3},
        "task": {**document["task"], "updates": 60},
        "space": {"deploy.precision": {"choice": PRECISIONS}},
        "search": {
            **document["search"],
            "updates": UPDATES,
            "trials": len(PRECISIONS),
            "sampler": "random",
            "start": start,
        },
    }
    return parse_spec({**document, **changes}, where="precisions")


@pytest.fixture(scope="module")
def updates() -> list[int]:
    """One entry for each update that was made."""
    return []


@pytest.fixture(scope="module")
def judged(search: SearchFolder, spec: Spec, updates: list[int]) -> SearchFolder:
    """A finished search of one student in every precision."""
    folder = SearchFolder(search.root, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    about = dict(Study.of(search).about)
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, about)
    searcher = Searcher(spec, study, TEACHER, trials=spec.search.trials, say=lambda _: None)
    setup = LaneSetup(
        spec=(folder.path / "spec.yaml").read_text(),
        folder=str(folder.path),
        store=str(folder.store.folder),
        teacher=str(spec.teacher.source),
        num_workers=1,
        cpus=1,
        use_gpu=False,
        precision="fp32",
    )
    with pytest.MonkeyPatch.context() as patch:
        update = Trainer.update
        patch.setattr(Trainer, "update", lambda self, batches: updates.append(self.step) or update(self, batches))
        run_lanes_here(searcher, setup, 1, lambda *_: None, lambda: None)
    return folder


def records(folder: SearchFolder) -> list[TrialRecord]:
    return Study.of(folder).records()


def test_student_in_several_precisions_is_trained_once(judged: SearchFolder, updates: list[int]) -> None:
    found = records(judged)
    assert [record.state for record in found] == ["complete"] * len(PRECISIONS)
    assert [record.config["deploy.precision"] for record in found] == PRECISIONS
    assert [record.trained_by for record in found] == [None, 0, 0]
    assert updates == list(range(UPDATES))


def test_error_of_the_student_itself_stands_beside_that_of_its_file(judged: SearchFolder) -> None:
    dynamic, dense, static = records(judged)
    assert "eval/per_fp32" not in dense.metrics
    for split in ("eval", "test"):
        own = dense.metrics[f"{split}/per"]
        assert own < 100, "it has learned something"
        assert static.metrics[f"{split}/per_fp32"] == dynamic.metrics[f"{split}/per_fp32"] == own
        low, high = (static.metrics[f"{split}/per_{end}"] for end in ("low", "high"))
        assert low <= static.metrics[f"{split}/per"] <= high


@pytest.mark.parametrize("number", range(len(PRECISIONS)))
def test_errors_are_kept_cut_by_cut_of_the_file_and_of_the_student(judged: SearchFolder, number: int) -> None:
    metrics, folder = records(judged)[number].metrics, judged.trial(number)
    names = {f"{split}/per{end}" for split in ("eval", "test") for end in ("", "_fp32")}
    expected = {name for name in names if name in metrics}
    assert set(agreeing(read_evidence(folder / FILE), metrics)) == expected
    assert set(read_texts(folder / TEXTS)) == expected
    assert not {"checkpoints"} & {path.name for path in folder.iterdir()} or number == 0


@pytest.mark.parametrize("number", [*(pytest.param(other, marks=pytest.mark.slow) for other in (0, 1)), 2])
def test_file_that_is_shipped_has_the_error_that_was_recorded(judged: SearchFolder, number: int) -> None:
    (row,) = MeasuredExports(judged, [], Load(seconds=1.0), lambda _: None).measure(number).measured
    assert row.file == onnx_name(PRECISIONS[number])
    metrics = records(judged)[number].metrics
    recorded = tuple(metrics[f"test/per{end}"] for end in ("", "_low", "_high"))
    assert (row.error.value, row.error.low, row.error.high) == pytest.approx(recorded, abs=1e-9)


def test_verdict_compares_with_what_was_recorded(judged: SearchFolder, tmp_path: Path) -> None:
    export_trial(judged, 2, tmp_path / "static")
    verdict = verify(tmp_path / "static", split="test")
    assert verdict.ok, verdict.table()
    name = "model.int8-static-conv.onnx: per of 6 test cuts, as recorded"
    assert name in [check.check for check in verdict.checks]
    report = judged.trial(2) / REPORT_NAME
    kept = report.read_text()
    report.write_text(kept.replace('"test/per": ', '"test/per": 1'))
    try:
        assert [check.check for check in verify(tmp_path / "static", split="test").checks if not check.ok] == [name]
    finally:
        report.write_text(kept)


@pytest.mark.slow
def test_trial_that_was_judged_again_is_reproduced_with_its_training(judged: SearchFolder, tmp_path: Path) -> None:
    found = reproduce(judged, 2, tmp_path / "again")
    assert found.identical, found.text()


def test_other_runtimes_have_no_static_scales(judged: SearchFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--precision: int8-static-conv; expected one of fp32, fp16, int8 with "):
        export_trial(judged, 2, tmp_path / "sherpa", layout="sherpa")
