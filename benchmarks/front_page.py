"""Measures how long a big search takes to be mirrored and shown, beside MLflow's own way to read the same trials.

    python benchmarks/front_page.py [--trials 1000] [--backend postgres | sqlite | URL] [--workers 2] [--json]

The trials are made up and mirrored over HTTP to a server of their own. `postgres` starts a throwaway database here.
Then the page's API is timed beside `mlflow.search_runs`, and Chromium draws the page if it is installed.
Times are medians of five. The drawing is one cold load.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import requests

from raysearch.front.document import SearchDocument, document
from raysearch.front.trials import Cost, TrialRecord
from raysearch.spec.loading import load_spec
from raysearch.tracking.mirror import Mirror
from raysearch.tracking.state import SearchState

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.mlflow_server.servers import Server  # noqa: E402
from tests.throwaway_postgres import throwaway_postgres  # noqa: E402

BEGAN_S, TRIAL_S, UPDATES = 1.7e9, 60.0, 150
"""Start of the made-up search in seconds since 1970, and the seconds and updates of each of its trials."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--backend", default="postgres")
    parser.add_argument("--workers", type=int, default=2, help="of the server; a deployment has two")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    state = made_up(asked.trials)
    with serving(asked.backend, asked.workers) as url:
        start = time.perf_counter()
        synced = Mirror(url).sync(state)
        found = {"trials": asked.trials, "mirrored_runs": synced.runs, "mirror_s": time.perf_counter() - start}
        found |= measure_page(url, state.document)
    show(found, as_json=asked.json)


def show(found: dict[str, float | int | None], *, as_json: bool) -> None:
    """Prints the figures, a line for each or as one JSON document."""
    if as_json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:22s} {value:10.3f}" if isinstance(value, float) else f"{key:22s} {value:>10}")


@contextmanager
def serving(backend: str, workers: int) -> Iterator[str]:
    """The address of a server that runs within this context."""
    with tempfile.TemporaryDirectory() as name:
        if backend == "postgres":
            with throwaway_postgres(durable=True) as url, _server(Path(name), url, workers) as address:
                yield address
        else:
            with _server(Path(name), "" if backend == "sqlite" else backend, workers) as address:
                yield address


@contextmanager
def _server(folder: Path, backend: str, workers: int) -> Iterator[str]:
    server = Server(folder, backend=backend, workers=workers).start()
    try:
        yield server.url
    finally:
        server.kill()


def made_up(trials: int) -> SearchState:
    """A search of the quickstart's space whose errors are drawn, with a short curve for each trial."""
    spec = load_spec(ROOT / "search_spaces/quickstart.yaml", [], name="made-up")
    rng = np.random.default_rng(0)
    space, error = spec.search_space, spec.objectives[-1]
    records = []
    for number in range(trials):
        macs_g = float(np.exp(rng.uniform(1, 6)))
        rate = 10 + 60 / macs_g**0.4 + float(rng.gamma(1, 6))
        records.append(
            TrialRecord(
                number=number,
                state="complete",
                config=space.draw(rng),
                metrics={f"eval/{error}{end}": rate + by for end, by in (("", 0), ("_low", -2), ("_high", 2))},
                cost=Cost(macs_g=macs_g, params_m=macs_g / 10),
                rung=UPDATES,
                started_s=BEGAN_S + TRIAL_S * number,
                ended_s=BEGAN_S + TRIAL_S * (number + 1),
            )
        )
    line = {"train/loss": 1.0, "train/grad_norm": 0.5, "train/audio_s_per_s": 200.0}
    return SearchState(
        document=document(spec.name, spec.objectives, records, [1000.0, 100.0]),
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        spec_hash=spec.digest,
        versions={},
        git_commit=None,
        seed=0,
        folder=Path("searches/made-up"),
        curves=lambda number: [{"step": step, "seconds": step / 10, "metrics": line} for step in range(50, 151, 50)],
        shared_curves=lambda digest: [],
        importances=dict,
        finished=True,
    )


def measure_page(url: str, document: SearchDocument) -> dict[str, float | int | None]:
    """Times of the page, in seconds, for a search that is mirrored at `url`."""
    api = f"{url}/raysearch/api/searches"
    run_id = next(one["id"] for one in _get(api)["searches"] if one["name"] == document.name)
    mlflow.set_tracking_uri(url)
    names = [f"raysearch/{document.name}"]
    runs = mlflow.search_runs(experiment_names=names, max_results=50_000)
    page = _get(f"{api}/{run_id}")
    # Both sides must hold the same trials before they are timed.
    assert len(runs) - 1 == len(document.trials)
    assert len(page["trials"]) == sum(trial.state == "complete" for trial in document.trials)
    assert page["front"] == document.front
    times = {
        "list_s": median(lambda: _get(api)),
        "api_s": median(lambda: _get(f"{api}/{run_id}")),
        "search_runs_s": median(lambda: mlflow.search_runs(experiment_names=names, max_results=50_000)),
    }
    return {**times, "ratio": times["search_runs_s"] / times["api_s"], "draw_s": draw(url, run_id)}


def _get(url: str) -> dict:
    return requests.get(url, timeout=300).json()


def median(act: Callable[[], object]) -> float:
    """Median of the seconds of five runs."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def draw(url: str, run_id: str) -> float | None:
    """Seconds until the last point is drawn, in a browser that has nothing cached. None without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"{url}/raysearch/#{run_id}", wait_until="commit", timeout=120_000)
        page.wait_for_selector("#chart .scatterlayer .point", timeout=120_000)
        page.wait_for_selector("#front tbody tr", timeout=120_000)
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
