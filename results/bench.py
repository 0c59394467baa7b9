"""Runs the benchmarks one after another and keeps what each printed, with the command, date, machine and versions.

    python results/bench.py [NAME ...]          all of benchmarks/, or only these

Each benchmark writes results/bench/DATE/NAME.json, with its `--json` document under `result` and what it ran on beside
that. If one fails, the others still run. The failed ones are named at the end, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from raysearch.storage.provenance import git_commit, hardware, versions

ROOT = Path(__file__).parent.parent


def run(script: Path) -> dict[str, Any] | None:
    """Runs one benchmark. Returns the document to keep, or None if it failed."""
    started = time.monotonic()
    found = subprocess.run([sys.executable, script, "--json"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if found.returncode:
        return None
    return {
        "command": f"python {os.path.relpath(script, ROOT)} --json",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        "git_commit": git_commit(),
        "hardware": hardware(),
        "versions": versions(),
        "result": json.loads(found.stdout),
    }


def main(names: list[str]) -> int:
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    if unknown := set(names) - set(scripts):
        sys.exit(f"{', '.join(sorted(unknown))}: no such benchmark; expected some of {', '.join(scripts)}")
    folder = ROOT / "results/bench" / f"{datetime.now(timezone.utc):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names or scripts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if kept := run(scripts[name]):
            (folder / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")
        else:
            failed.append(name)
    print(f"{folder.relative_to(ROOT)}: {len(list(folder.glob('*.json')))} documents")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
