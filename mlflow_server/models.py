"""Hands out the students of trials as ONNX files, which the page runs in the browser of whoever talks to them.

A file is one that `raysearch export` or `pick` has left in the folder of the search. If there is none, it is made there
once, by the command line in a process of its own: the server itself loads no torch.
"""

from __future__ import annotations

import json
import sys
from asyncio import Lock, create_subprocess_exec, wait_for
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync

from raysearch.errors import InputError

MANIFEST, METADATA = "export.json", "raysearch"
"""Name of the file that says what an export is, and key of an ONNX file's metadata that says how it is read."""
NAMES = ("model.onnx", "model.int8.onnx")
"""The files of an export that a browser can run, best first."""
LONGEST_S = 600.0
"""Seconds after which an export is given up."""
_one_at_a_time = Lock()


def find_model(search: Path, number: int) -> Path | None:
    """The newest ONNX file of a trial; None if there is none yet."""
    newest = sorted(search.glob(f"exports/*/{MANIFEST}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for manifest in newest:
        with suppress(OSError, ValueError):
            if json.loads(manifest.read_text(encoding="utf-8")).get("trial") != number:
                continue
        for name in NAMES:
            if (manifest.parent / name).is_file():
                return manifest.parent / name
    return None


async def made_model(search: Path, number: int) -> Path:
    """The ONNX file of a trial, which is exported unless it is there. One is exported at a time.

    Raises: InputError if it cannot be, with the line in which the command line says why.
    """
    async with _one_at_a_time:
        if found := find_model(search, number):
            return found
        out = search / "exports" / f"{number:04d}-page"
        # In fp32, whatever the trial was judged in: every browser runs that.
        words = ["export", search.name, str(number), "-o", str(out), "--storage", str(search.parent)]
        words += ["--precision", "fp32"]
        process = await create_subprocess_exec(
            *(sys.executable, "-m", "raysearch.cli", *words), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        try:
            _, said = await wait_for(process.communicate(), LONGEST_S)
        except TimeoutError as err:
            process.kill()
            raise InputError(f"trial {number}: no export after {LONGEST_S:.0f} s; expected one by then") from err
    if process.returncode or not (found := find_model(search, number)):
        lines = said.decode(errors="replace").strip().splitlines() or ["no ONNX file"]
        raise InputError(f"trial {number}: not exported: {lines[-1][:300]}")
    return found


async def described(file: Path | None) -> dict[str, Any]:
    """What the page must know of a model before it loads it. Without a file it is not `ready`."""
    if file is None:
        return {"ready": False}
    about = file.stat()
    layout = await run_sync(_layout, file, about.st_mtime_ns)
    return {"ready": True, "megabytes": about.st_size / 1e6, "version": about.st_mtime_ns, "layout": layout}


@lru_cache(maxsize=64)
def _layout(file: Path, changed: int) -> dict[str, Any]:
    """What inputs and outputs of a model mean. Raises: InputError if the file does not say so."""
    import onnx

    try:
        metadata = {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}
        return dict(json.loads(metadata[METADATA]))
    except Exception as err:  # what a torn file raises is protobuf's own error, which shares no other base
        raise InputError(
            f"{file.name}: metadata {METADATA}: missing; expected a model that raysearch exported"
        ) from err
