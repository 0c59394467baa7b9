"""How long the page of a big search takes, beside MLflow's own way to read the same trials. One run, one server.

    python benchmarks/front_page.py --trials 1000 --backend postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE

Without --backend: SQLite. No-op trials are written into a study and mirrored; then the page's API is timed beside
`mlflow.search_runs`, and Chromium, where there is one, draws the page. Prints medians
of five; the drawing is one cold load.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import optuna
import requests

from raysearch.front.document import Cost
from raysearch.search.folder import Links, SearchFolder
from raysearch.search.reading import read_document, read_state
from raysearch.search.study import Study
from raysearch.spec import load_spec
from raysearch.tracking.mirror import Mirror

ROOT = Path(__file__).parents[1]
PORT = 5719
URL = f"http://127.0.0.1:{PORT}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--backend", default="")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = fill_study(Path(name), asked.trials)
        server = serve(Path(name), asked.backend or f"sqlite:///{name}/mlflow.db")
        try:
            found = measure(folder)
        finally:
            server.terminate()
            server.wait()
    if asked.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:22s} {value:10.3f}" if isinstance(value, float) else f"{key:22s} {value:>10}")


def fill_study(root: Path, trials: int) -> SearchFolder:
    """A study of so many no-op trials of the quickstart's space, values drawn, nothing trained."""
    spec = load_spec(ROOT / "search_spaces" / "quickstart.yaml", [], name=f"bench-{os.getpid()}")
    folder = SearchFolder.of(str(root), spec.name)
    folder.create(spec, Links(study=f"sqlite:///{root}/study.db", tracking=URL))
    about = {
        "digest": f"bench-{os.getpid()}", "versions": {}, "git_commit": None, "seed": 0, "trials": trials,
        "reference_point": [1000.0, 100.0], "teacher": {"cost": {"macs_g": 900.0, "params_m": 30.0}, "metrics": {}},
    }  # fmt: skip
    study = Study.create(folder.study_storage(), spec.name, list(spec.objectives), about)
    rng, space, sampler = np.random.default_rng(0), spec.search_space, optuna.samplers.RandomSampler(seed=0)
    for _ in range(trials):
        number, _ = study.ask(space, sampler)
        macs_g = float(np.exp(rng.uniform(1, 6)))
        error = 10 + 60 / macs_g**0.4 + float(rng.gamma(1, 6))
        study.set_cost(number, Cost(macs_g=macs_g, params_m=macs_g / 10))
        objective = spec.objectives[-1]
        study.report(
            number, 100, {f"eval/{objective}{end}": error + by for end, by in (("", 0), ("_low", -2), ("_high", 2))}
        )
        study.end(number, "complete")
    return folder


def serve(folder: Path, backend: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "raysearch",
        "--workers",
        "1",
        "--port",
        str(PORT),
    ]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts")]
    server = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(600):
        try:
            if requests.get(f"{URL}/health", timeout=5).ok:
                return server
        except requests.ConnectionError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start")


def measure(folder: SearchFolder) -> dict[str, float | int | None]:
    document = read_document(folder)
    mirror = Mirror(URL)
    start = time.perf_counter()
    synced = mirror.sync(read_state(folder))
    mirror_s = time.perf_counter() - start
    api = f"{URL}/raysearch/api/searches"
    run_id = next(one["id"] for one in requests.get(api, timeout=60).json()["searches"] if one["name"] == folder.name)
    mlflow.set_tracking_uri(URL)
    names = [f"raysearch/{folder.name}"]
    runs = mlflow.search_runs(experiment_names=names, max_results=50_000)
    page = requests.get(f"{api}/{run_id}", timeout=60).json()
    # Both sides must hold the same trials before they are timed.
    assert len(runs) - 1 == len(page["trials"]) == len(document.trials)
    assert page["front"] == document.front
    return {
        "trials": len(document.trials),
        "mirrored_runs": synced.runs,
        "mirror_s": mirror_s,
        "list_s": median(lambda: requests.get(api, timeout=60).json()),
        "search_s": median(lambda: requests.get(f"{api}/{run_id}", timeout=60).json()),
        "search_runs_s": median(lambda: mlflow.search_runs(experiment_names=names, max_results=50_000)),
        "draw_s": draw(run_id),
    }


def median(act: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def draw(run_id: str) -> float | None:
    """Seconds from the address to the last point, in a browser that has nothing cached; None without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"{URL}/raysearch/#{run_id}", wait_until="commit", timeout=120_000)
        page.wait_for_selector("#front tbody tr", timeout=120_000)
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
