"""Trials that do nothing, ended by four lanes as fast as they can: does the mirror keep up, and is all of it there?

    python benchmarks/mirror_lanes.py [--trials 1000] [--lanes 4] [--backend postgres | sqlite | URL] [--json]

A real search, with Ray, study and mirror process, fills a server over HTTP while it runs. `trials_s` are the seconds
until the last trial's end. `lag_s` are those that the mirror needed after that. `lacked` counts what a sync afterwards
had to write, which should be 0. The other figures are the times of the page, as in front_page.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from front_page import ROOT, measure_page, serving, show

from raysearch.search.reading import read_state
from raysearch.storage.folder import SearchFolder
from raysearch.tracking.mirror import Mirror, Synced

sys.path.insert(0, str(ROOT))

from tests.search.fake_search import make_search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--backend", default="postgres")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with serving(asked.backend, asked.workers) as url, tempfile.TemporaryDirectory() as place:
        errors = np.random.default_rng(0).uniform(10, 90, asked.trials)
        orders: dict[str, object] = {f"error {number}": float(error) for number, error in enumerate(errors)}
        folder = make_search(Path(place), orders, trials=asked.trials, lanes=asked.lanes, tracking=url)
        times = run(folder, asked.lanes)
        state = read_state(folder)
        lacked = Mirror(url).sync(state)
        assert Mirror(url).sync(state) == Synced()
        found = {
            "trials": len(state.document.trials),
            "lanes": asked.lanes,
            **times,
            "lacked": lacked.runs + lacked.metrics,
        }
        found |= measure_page(url, state.document)
    show(found, as_json=asked.json)


def run(folder: SearchFolder, lanes: int) -> dict[str, float]:
    """Runs the search to its end. Returns the seconds of its trials, and those that its mirror lagged behind."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # Trials that do nothing need no core of their own.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": lanes})}
    command = [sys.executable, "-m", "raysearch.cli", "resume", folder.name, "--storage", str(folder.root)]
    began_s = ended_s = time.monotonic()
    search = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert search.stderr is not None
    for line in search.stderr:
        if line.startswith("done in"):
            ended_s = time.monotonic()
        if not line.startswith("trial"):
            print(line, end="", file=sys.stderr)
    if search.wait() != 0:
        raise SystemExit("the search failed")
    return {"trials_s": ended_s - began_s, "lag_s": time.monotonic() - ended_s}


if __name__ == "__main__":
    main()
