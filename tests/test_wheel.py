"""The built wheel: what is in it, and that it runs without a checkout.

By default it is installed alone, into an environment that borrows its dependencies from the one that runs the tests;
with -m slow into one that is empty, with everything it asks for. Only then is a whole search run from it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from raysearch import __version__

ROOT = Path(__file__).parent.parent
DOCKERFILES = [ROOT / "clusters/Dockerfile", ROOT / "mlflow_server/deploy/Dockerfile"]
Run = Callable[..., str]
# An empty environment is filled from the package index.
pytestmark = pytest.mark.timeout(1800)


def build(sources: Path, out: Path) -> ZipFile:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out]
    subprocess.run([*pip, sources], check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return ZipFile(wheel)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Built from a copy: setuptools would put what an earlier build left in the checkout into the next one."""
    folder = tmp_path_factory.mktemp("wheel")
    left = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "searches")
    shutil.copytree(ROOT, folder / "sources", ignore=left)
    return build(folder / "sources", folder)


@pytest.fixture(scope="module", params=["borrowing", pytest.param("empty", marks=pytest.mark.slow)])
def environment(request: pytest.FixtureRequest, wheel: ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet"]
    if request.param == "empty":
        words = ["-c", ROOT / "constraints.txt", f"{wheel.filename}[synth]"]
    else:
        import torch

        # A line of such a file is a folder to import from. Its own .pth files, such as our editable one, are not read.
        (site_packages(folder) / "borrowed.pth").write_text(str(Path(torch.__file__).parents[1]))
        words = ["--no-deps", "--no-index", str(wheel.filename)]
    subprocess.run([*pip, *words], check=True, capture_output=True)
    return folder


def site_packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """`run("raysearch", "--help")` runs a script of the environment in an empty folder and gives its stdout."""
    ours = ("PYTHON", "RAYSEARCH_", "MLFLOW_", "VIRTUAL_ENV")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(ours)}

    def _run(script: str, *words: str) -> str:
        found = subprocess.run(
            [environment / "bin" / script, *words], capture_output=True, text=True, cwd=tmp_path, env=variables
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    return _run


def test_wheel_holds_all_that_is_ours_and_nothing_else(wheel: ZipFile) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for pattern in (
            "raysearch/**/*.py",
            "raysearch/front/*.csv",
            "raysearch/front/pages/*.html",
            "mlflow_server/**/*.py",
            "mlflow_server/static/**/*",
        )
        for path in ROOT.glob(pattern)
        if path.is_file()
    }
    documents = [path for folder in ("search_spaces", "encoders") for path in (ROOT / folder).glob("*.*")]
    expected |= {f"raysearch/{path.relative_to(ROOT).as_posix()}" for path in documents}
    expected |= {"raysearch/py.typed"}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parts[-2])
def test_images_copy_all_that_the_wheel_is_built_from(dockerfile: Path, wheel: ZipFile, tmp_path: Path) -> None:
    before_the_install, install, _ = dockerfile.read_text().partition("'.[")
    assert install, "expected a line that installs the package"
    sources = tmp_path / "app"
    sources.mkdir()
    for line in re.findall(r"^COPY (.+)$", before_the_install, re.MULTILINE):
        *names, _ = line.split()
        for name in names:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, sources / name)
    assert sorted(build(sources, tmp_path).namelist()) == sorted(wheel.namelist())


def test_environment_has_the_wheel_and_no_checkout(run: Run, environment: Path) -> None:
    code = "import mlflow_server, raysearch; print(mlflow_server.__file__, raysearch.__file__)"
    for file in run("python", "-c", code).split():
        assert Path(file).is_relative_to(site_packages(environment))


def test_version_and_help(run: Run) -> None:
    assert run("raysearch", "--version") == f"raysearch {__version__}\n"
    assert "spaces" in run("raysearch", "--help")


def test_documents_are_listed_and_found_by_name(run: Run, environment: Path) -> None:
    found = json.loads(run("raysearch", "spaces", "--json"))
    assert len(found["spaces"]) == len(list((ROOT / "search_spaces").glob("*.yaml")))
    for one in [*found["spaces"], *found["encoders"]]:
        assert Path(one["file"]).is_relative_to(site_packages(environment))
    assert "params: 94,370,944" in run("raysearch", "cost", "hubert-base")


TINY = [
    "corpus={kind: synthetic, speakers: {train: 4, dev: 2, test: 2}, utterances: {train: 60, dev: 8, test: 8}}",
    *("teacher.updates=20", "teacher.depth=1", "teacher.width=64", "task.updates=10", "task.lrs=[0.1]"),
    *("search.updates=4", "search.trials=1", "workers.lanes=1", "space.targets.clusters={choice: [50]}"),
]
OVERRIDES = [word for change in TINY for word in ("--set", change)]


def test_speech_is_made_and_a_teacher_trained_that_labels_it(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("raysearch", "targets", "build", "quickstart", *OVERRIDES, "--storage", "here", "--json"))
    (labels,) = found["label_sets"]
    assert labels["clusters"] == 50
    assert (tmp_path / "here/_store/label_sets" / labels["id"]).is_dir()
    assert list((tmp_path / "here/_store/teachers").glob("*/model.safetensors"))


@pytest.mark.ray
@pytest.mark.slow
def test_trial_on_synthetic_speech(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("raysearch", "search", "quickstart", *OVERRIDES, "--json"))
    assert [trial["state"] for trial in found["trials"]] == ["complete"]
    assert (tmp_path / "searches/quickstart/spec.yaml").exists()
    assert "quickstart: 1 trial" in run("raysearch", "front", "quickstart")
