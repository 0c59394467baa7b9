"""The pages of results are what the recorded searches and benchmarks give; a number changed by hand does not stay."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRITE = runpy.run_path(str(ROOT / "results/write.py"))
BENCH = runpy.run_path(str(ROOT / "results/bench.py"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are drawn beside the records' copy, not into the checkout."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", WRITE["PAGES"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_is_as_written(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert text.splitlines().count("<!-- end -->") == len(WRITE["BLOCK"].findall(text))
    assert WRITE["written"](text) == text
    for picture in (tmp_path / "docs").iterdir():
        assert (ROOT / "docs" / picture.name).exists()


def test_every_page_is_in_the_table_of_results() -> None:
    linked = set(re.findall(r"\]\((docs/results/[^)#]+)", (ROOT / "RESULTS.md").read_text()))
    assert {page.relative_to(ROOT).as_posix() for page in WRITE["PAGES"]} == {"RESULTS.md", *linked}


def test_every_recorded_search_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in WRITE["PAGES"])
    recorded = {f"results/{path.name}" for path in (ROOT / "results").glob("*.json.gz")}
    assert recorded
    assert {name for name in recorded if name not in text} == set()


def test_number_changed_by_hand_is_put_right() -> None:
    text = "before\n<!-- raysearch front results/hj.json.gz --markdown -->\n| 0 | 1.9 |\n<!-- end -->\nafter\n"
    written = WRITE["written"](text)
    assert "| 1.9 |" not in written
    assert written.startswith("before\n<!-- raysearch front results/hj.json.gz --markdown -->\nhj: 12 trials")
    assert written.endswith("cheaper trial\n<!-- end -->\nafter\n")


def test_rows_of_a_benchmark_are_a_table(tmp_path: Path) -> None:
    kept = {"date": "2026-01-01", "result": {"seconds": 5, "points": [{"left": 0.5, "share": [0.981, 1.02]}]}}
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    written = WRITE["written"]("<!-- rows kept.json left share -->\n\n<!-- end -->")
    assert written.splitlines()[1:-1] == ["| left | share |", "|--:|--:|", "| 0.5 | 0.981 - 1.02 |"]


def test_benchmark_is_kept_with_what_it_ran_on(tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text('import sys\nprint(\'{"argv": "%s"}\' % sys.argv[1])')
    kept = BENCH["run"](script)
    assert kept["result"] == {"argv": "--json"}
    assert {"torch", "python"} <= set(kept["versions"])
    assert kept["hardware"]["cpus"]


def test_benchmark_that_fails_is_not_kept(tmp_path: Path) -> None:
    script = tmp_path / "one.py"
    script.write_text("raise SystemExit(3)")
    assert BENCH["run"](script) is None
