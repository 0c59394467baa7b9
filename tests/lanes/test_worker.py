"""Two processes of one lane on one node, which have the folder of a trial in common."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed, multiprocessing

from raysearch.errors import AwayError, WorkError
from raysearch.files.remote import Remote
from raysearch.lanes import worker

ORDER = {"number": 1, "config": {}, "overrides": {}, "seed": 0, "trained_by": None}


def work(number: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    context = SimpleNamespace(get_local_rank=lambda: number, get_world_rank=lambda: number)
    worker.train = SimpleNamespace(get_context=lambda: context)
    setup = {"folder": str(folder / "copy/tiny"), "uri": f"file://{folder / 'far'}", "precision": "fp32"}
    pulled, seen, pull = [], [], Remote.pull

    def counted(remote: Remote, name: str, local: Path) -> bool:
        pulled.append(name)
        return pull(remote, name, local)

    def run(number: int, config: object, seed: int, folder: Path, precision: str) -> list[object]:
        seen.append(folder.joinpath("curve.jsonl").read_text())
        return []

    def away(remote: Remote, folder: str) -> None:
        raise AwayError("s3://b: gone")

    Remote.pull = counted
    list(worker._reports(SimpleNamespace(run=run), ORDER, setup))
    if number == 0:
        Remote.files = away
    try:
        list(worker._reports(SimpleNamespace(run=run), ORDER, setup))
    except WorkError as err:
        seen.append(str(err))
    distributed.destroy_process_group()
    (folder / f"{number}.json").write_text(json.dumps([pulled, seen]))


def test_first_process_of_a_node_fetches_a_trial_and_the_others_wait(tmp_path: Path) -> None:
    """Each of them removed the folder while the others filled it. What one cannot fetch, all hear of."""
    (tmp_path / "far/tiny/trials/0001").mkdir(parents=True)
    (tmp_path / "far/tiny/trials/0001/curve.jsonl").write_text("there\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, tmp_path), nprocs=2)
    found = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    told = ["there\n", "trial 0001: s3://b: gone"]
    assert found == [[["trials/0001"], told], [[], told]]


def test_process_that_is_alone_waits_for_nobody(tmp_path: Path, monkeypatch) -> None:
    context = SimpleNamespace(get_local_rank=lambda: 0)
    monkeypatch.setattr(worker, "train", SimpleNamespace(get_context=lambda: context))
    for number in (0, 1):
        (tmp_path / f"far/trials/000{number}").mkdir(parents=True)
        (tmp_path / f"far/trials/000{number}/curve.jsonl").write_text(f"{number}\n")
    here = tmp_path / "here/trials"
    worker._fetch(Remote(f"file://{tmp_path / 'far'}"), here / "0001", here / "0000")
    assert [(here / name / "curve.jsonl").read_text() for name in ("0000", "0001")] == ["0\n", "1\n"]
