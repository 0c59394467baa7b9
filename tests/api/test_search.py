"""A search opened from Python: from its study, and from the one file that a record is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import raysearch
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.front.table import text_table
from raysearch.methods.settings import StudentSettings
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, TEACHER, run, spec_with


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the search `tiny`, of six trials that nobody trained; the first has a student."""
    root = tmp_path_factory.mktemp("searches")
    spec = spec_with()
    folder = SearchFolder(root, spec.name)
    folder.create(spec, Links(study="", tracking=f"sqlite:///{root / 'mlflow.db'}"))
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT)
    run(Searcher(spec, study, TEACHER, trials=6, say=lambda _: None))
    config = StudentSettings(depth=1, width=32, heads=2, channels=16, position_kernel=5).encoder()
    save_encoder(Encoder(config), folder.trial(0) / "student")
    return root


def test_search_says_what_its_study_holds(root: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    assert raysearch.searches(storage=root) == [found.name] == ["tiny"]
    assert list(found.trials["number"]) == list(range(6))
    assert list(found.front["number"]) == found.document.front
    assert found.hypervolume == found.document.hypervolume > 0
    assert found.status()["trials"] == {"complete": 6}
    assert found.spec == spec_with()
    assert str(found) == text_table(found.document)
    assert repr(found) == "Search('tiny')"


def test_record_has_the_same_trials_but_no_weights(root: Path, tmp_path: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    found.record(tmp_path / "kept.json.gz")
    kept = raysearch.open_search(tmp_path / "kept.json.gz")
    assert kept.name == "tiny"
    assert kept.trials.equals(found.trials)
    assert kept.pictures == []
    with pytest.raises(InputError, match="opened from a record, without weights; expected the search itself"):
        kept.load_student(0)
    with pytest.raises(InputError, match=r"kept\.gz; expected a name that ends in \.json\.gz"):
        found.record(tmp_path / "kept.gz")


def test_picture_is_a_figure_and_is_drawn_where_asked(root: Path, tmp_path: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    drawn = {trace.name for trace in found.plot().data}
    assert {"front (open: within noise)", "dicehubert", "teacher"} <= drawn
    files = [tmp_path / "front.html", tmp_path / "front.png"]
    assert found.draw(html=files[0], png=files[1]) == files
    assert all(file.stat().st_size > 1000 for file in files)
    assert found.draw() == []


def test_published_points_are_drawn_where_they_compare(root: Path, tmp_path: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    file = tmp_path / "mine.csv"
    columns = "name,task,metric,error,macs_g,macs_of,params_m,teacher,source"
    file.write_text(f"{columns}\nother,phonemes:synthetic,per,60,50,superb-32,1,,report 7\n")
    beside = found.published("superb", file)
    assert [point.name for point in beside.points] == ["other"]
    assert [line.partition(";")[0] for line in beside.left_out] == [
        "published superb: left out: corpus.kind: synthetic"
    ]
    found.record(tmp_path / "kept.json.gz")
    assert raysearch.open_search(tmp_path / "kept.json.gz").published("superb", file) == beside
    assert "published" in {trace.name for trace in found.plot(beside).data}
    found.draw(html=tmp_path / "front.html", published=beside)
    assert "report 7" in (tmp_path / "front.html").read_text()


def test_student_is_a_module_that_hears(root: Path) -> None:
    student = raysearch.load_student("tiny", 0, storage=root)
    assert not student.training
    with torch.no_grad():
        encoded = student(torch.randn(2, 16_000), torch.tensor([16_000, 8_000]))
    assert encoded.output_BTD.shape[0] == 2
    assert len(encoded.hidden) == 2


@pytest.mark.parametrize(
    ("number", "fault"), [(9, "trial 9: no such trial"), (1, "expected a trial that reached a rung")]
)
def test_trial_without_a_student_is_refused(root: Path, number: int, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        raysearch.open_search("tiny", storage=root).load_student(number)


def test_name_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"nothing: no such search in .*; expected one of: tiny"):
        raysearch.open_search("nothing", storage=root)
    with pytest.raises(InputError, match=r"expected one of: tiny \(did you mean tiny\?\)"):
        raysearch.open_search("tinny", storage=root)


def test_storage_is_the_environments_where_none_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(root))
    assert raysearch.searches() == ["tiny"]


def test_search_beside_itself_compares_as_two_rows(root: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    compared = raysearch.compare([found, "tiny"], storage=root)
    assert [row.name for row in compared.rows] == ["tiny", "tiny"]
    assert [row.trials for row in compared.rows] == [6, 6]
    over_seeds = raysearch.compare([found, found], seeds=True)
    assert len(over_seeds.rows) == 6
    assert str(over_seeds).endswith("by pairs")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"formats": "tflite"}, "--format: tflite; expected one of onnx, pt2, safetensors"),
        ({"precision": ["fp32", "fp8"]}, "--precision: fp8; expected one of fp32, fp16, int8"),
    ],
)
def test_export_in_an_unknown_form_is_refused(root: Path, asked: dict[str, object], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        raysearch.open_search("tiny", storage=root).export(0, root / "out", **asked)


def test_limits_that_nothing_keeps_to_are_refused(root: Path) -> None:
    found = raysearch.open_search("tiny", storage=root)
    with pytest.raises(InputError, match=r"^--max-macs: 0\.001; expected at least"):
        found.pick(max_macs=0.001)
    with pytest.raises(InputError, match=r"^--max per: 1; expected at least"):
        found.pick(max_error={"eval/per": 1})
