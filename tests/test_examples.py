"""The examples run as they stand: programs are imported, the notebook is executed from first cell to last."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TOUR = EXAMPLES / "tour.ipynb"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_can_be_imported(path: Path) -> None:
    assert import_module(path.stem).__doc__


def test_tour_is_kept_without_what_it_showed() -> None:
    cells = nbformat.read(TOUR, as_version=4).cells
    assert cells[0].source.startswith("# ")
    shown = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert not shown, "take the outputs out of the notebook before it is committed"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tour_runs_from_beginning_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAYSEARCH_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    tour = nbformat.read(TOUR, as_version=4)
    NotebookClient(tour, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {kind for cell in tour.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    # Tables of trials, and the picture that can be hovered over.
    assert {"text/html", "application/vnd.plotly.v1+json"} <= shown
    last = [cell for cell in tour.cells if cell.cell_type == "code"][-1]
    assert last.outputs[0].data["text/plain"].startswith("[(1, ")
