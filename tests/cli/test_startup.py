"""What is waited for before a verb prints: a verb that reads loads none of the libraries that do the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, spec_with

RECORD = Path(__file__).parents[2] / "results/sv.json.gz"
HEAVY = ("sklearn", "scipy", "pandas", "torch", "ray", "mlflow", "lhotse", "matplotlib", "plotly", "pyarrow")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with one search, `tiny`, that has no trial yet."""
    spec = spec_with()
    folder = SearchFolder(tmp_path_factory.mktemp("searches"), spec.name)
    folder.create(spec, Links(study="", tracking=""))
    Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT)
    return folder.root


@pytest.mark.parametrize(
    "verb",
    [
        *("front tiny", "front tiny --json", f"front {RECORD}", "compare tiny tiny", "status", "status tiny"),
        *("spaces", "schema", "cost hubert-base", "targets ls"),
    ],
)
def test_verb_that_reads_loads_no_library_that_works(verb: str, storage: Path) -> None:
    code = (
        f"import sys; sys.argv[1:] = {verb.split()}\nfrom raysearch.cli import main\n"
        f"try: main()\nexcept SystemExit as end: print(end.code, *(m for m in {HEAVY} if m in sys.modules))"
    )
    environment = {"RAYSEARCH_STORAGE": str(storage), "PYTHONPATH": str(RECORD.parents[1])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.splitlines()[-1] == "0", found.stderr
