"""Does a dead MLflow server slow a search? A search whose server is killed three times beside one whose server lives.

    python benchmarks/mirror_outage.py [--trials 10] [--dead 60] [--json]

Both searches train the same students on the same batches at the same time, on one lane of one core each, so that both
meet the same machine. One server is killed for a minute (`--dead`) when its first trial starts, when the middle one
does, and when the last but one does. The times of updates come from the trials' curves, which have a line every ten
updates, and are compared line by line. `ratio` is the median of killed / steady over all lines, and `dead_ratio` the
one over the lines of the dead minutes. `slowest_trial` is the largest of the trials' own medians. `dead_over_alive`
compares the dead minutes of the killed search with its other ones. Afterwards each server must hold everything, and
nothing twice. `lacked` counts what the mirror of the killed server had not caught up with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from raysearch.search.reading import read_state
from raysearch.storage.folder import SearchFolder
from raysearch.tracking.mirror import Mirror, Synced

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.mlflow_server.servers import Server  # noqa: E402

SETTINGS = [
    "student.depth=2", "student.width=128", "student.channels=64", "targets.clusters=50", "task.updates=20",
    "search.updates=150", "search.sampler=random", "workers.lanes=1",
    "training={batch_s: 40, dropout: 0.0, checkpoint_updates: 10}", "space={training.lr: {float: [1.0e-3, 3.0e-3]}}",
]  # fmt: skip
GLANCE_S = 0.25
"""Seconds between two looks at the curves."""
Line = tuple[int, int]
"""A line of a curve: (trial, updates)."""


@dataclass
class Watched:
    """All that was seen of a search while it ran."""

    step_s: dict[Line, float] = field(default_factory=dict)
    """Seconds of a mean update, by the line of the curve that it belongs to."""
    seen_s: dict[Line, float] = field(default_factory=dict)
    """Time at which the line was first seen, by the monotonic clock."""
    dead: list[tuple[float, float]] = field(default_factory=list)
    """Beginning and end of each outage, by the same clock."""
    seconds: float = 0.0
    """Seconds of the whole search."""

    def was_dead(self, line: Line) -> bool:
        return any(since <= self.seen_s[line] <= until for since, until in self.dead)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--dead", type=float, default=60.0, help="seconds that each outage lasts")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        # Corpus, teacher and labels are made once, before anything is timed.
        run(root, "warm-up", 1, "", None, 0.0)
        with ThreadPoolExecutor() as pool:
            arms = {arm: pool.submit(measure, root, arm, asked.trials, asked.dead) for arm in ("steady", "killed")}
        (steady, _), (killed, lacked) = arms["steady"].result(), arms["killed"].result()
    found = compare(steady, killed) | {"lacked": lacked}
    if asked.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:16s} {value:10.4f}" if isinstance(value, float) else f"{key:16s} {value:>10}")


def measure(root: Path, arm: str, trials: int, dead_s: float) -> tuple[Watched, int]:
    """Runs a search. Returns what was seen of it, and how much its mirror left out."""
    (root / f"server-{arm}").mkdir()
    server = Server(root / f"server-{arm}").start()
    try:
        watched = run(root, arm, trials, server.url, server if arm == "killed" else None, dead_s)
        return watched, check(server.url, SearchFolder(root, arm))
    finally:
        server.kill()


def run(root: Path, name: str, trials: int, tracking: str, mortal: Server | None, dead_s: float) -> Watched:
    command = [sys.executable, "-m", "raysearch.cli", "search", str(ROOT / "search_spaces/quickstart.yaml")]
    command += ["--name", name, "--trials", str(trials), "--storage", str(root)]
    command += ["--tracking", tracking or f"sqlite:///{root / 'warm-up.db'}"]
    command += [word for setting in SETTINGS for word in ("--set", setting)]
    watched, began_s = Watched(), time.monotonic()
    search = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # At the first trial, in the middle and near the end.
    doom = {"0", str(trials // 2), str(trials - 2)} if mortal else set()
    listener = threading.Thread(target=listen, args=(search, doom, mortal, dead_s, watched))
    listener.start()
    folder = SearchFolder(root, name)
    while search.poll() is None:
        look(folder, trials, watched)
        time.sleep(GLANCE_S)
    listener.join()
    look(folder, trials, watched)
    watched.seconds = time.monotonic() - began_s
    if search.returncode != 0:
        raise SystemExit(f"the search {name} failed")
    return watched


def listen(
    search: subprocess.Popen[str], doom: set[str], mortal: Server | None, dead_s: float, watched: Watched
) -> None:
    """Kills the server whenever one of the doomed trials starts. Passes on what the search says."""
    assert search.stderr is not None
    # Outages come one after the other: none may begin before the server is back from the last.
    with ThreadPoolExecutor(max_workers=1) as outages:
        for line in search.stderr:
            print(line, end="", file=sys.stderr)
            words = line.split()
            if words[:1] == ["trial"] and words[2:3] == ["starts"] and words[1] in doom and mortal:
                outages.submit(outage, mortal, dead_s, watched)


def outage(server: Server, dead_s: float, watched: Watched) -> None:
    server.kill()
    since = time.monotonic()
    time.sleep(dead_s)
    server.start()
    watched.dead.append((since, time.monotonic()))


def look(folder: SearchFolder, trials: int, watched: Watched) -> None:
    """Notes the lines by which the curves have grown since the last look."""
    now_s = time.monotonic()
    for number in range(trials):
        before = (0, 0.0)
        for line in folder.curve(number):
            at = (number, line["step"])
            if at not in watched.seen_s:
                watched.seen_s[at] = now_s
                watched.step_s[at] = (line["seconds"] - before[1]) / (line["step"] - before[0])
            before = (line["step"], line["seconds"])


def check(url: str, folder: SearchFolder) -> int:
    """Number of points and runs that the search's own mirror had left out. All must be there now, and only once."""
    state, client = read_state(folder), MlflowClient(url)
    lacked = Mirror(url).sync(state)
    assert Mirror(url).sync(state) == Synced()
    runs = client.search_runs([client.get_experiment_by_name(f"raysearch/{folder.name}").experiment_id])
    trials = sorted(int(run.data.tags["raysearch.trial"]) for run in runs if "raysearch.trial" in run.data.tags)
    assert trials == [trial.number for trial in state.document.trials]
    assert len(runs) == len(trials) + 1
    for run in runs:
        for key in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), f"{run.info.run_name}: {key} twice"
    return lacked.runs + lacked.metrics


def compare(steady: Watched, killed: Watched) -> dict[str, float | int]:
    """The figures of the benchmark."""
    assert steady.step_s.keys() == killed.step_s.keys(), "both searches must train the same updates"
    # The first line of a trial also holds its warm-up, and is left out.
    first = min(step for _, step in steady.step_s)
    ratios = {line: killed.step_s[line] / steady.step_s[line] for line in steady.step_s if line[1] != first}
    dead = [ratio for line, ratio in ratios.items() if killed.was_dead(line)]
    dead_ms = [1000 * killed.step_s[line] for line in ratios if killed.was_dead(line)]
    alive_ms = [1000 * killed.step_s[line] for line in ratios if not killed.was_dead(line)]
    trials = {number for number, _ in ratios}
    by_trial = [statistics.median(ratio for (n, _), ratio in ratios.items() if n == number) for number in trials]
    return {
        "steady_ms": 1000 * statistics.median(steady.step_s[line] for line in ratios),
        "killed_ms": 1000 * statistics.median(killed.step_s[line] for line in ratios),
        "lines": len(ratios),
        "dead_lines": len(dead),
        "ratio": statistics.median(ratios.values()),
        "dead_ratio": statistics.median(dead),
        "dead_over_alive": statistics.median(dead_ms) / statistics.median(alive_ms),
        "fastest_trial": min(by_trial),
        "slowest_trial": max(by_trial),
        "steady_s": steady.seconds,
        "killed_s": killed.seconds,
    }


if __name__ == "__main__":
    main()
