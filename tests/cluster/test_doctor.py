"""The doctor on a healthy cluster and on broken ones: each fault is found in its own line, and in no other."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from raysearch.cluster import doctor
from raysearch.cluster.doctor import Answer, Finding, check_mlflow, check_study, judge
from raysearch.cluster.node_report import NodeReport, Question, make_report, read_notes, write_note
from raysearch.corpora.readers.labelled import read_labelled
from raysearch.corpora.settings import LabelledSettings
from raysearch.errors import InputError
from raysearch.storage.provenance import versions
from tests.away import SAID, memory_is_away

LINES = {
    "versions": "lhotse 0.0.1, the driver has",
    "storage": "the driver's file is not there; fix: give --storage a folder that is mounted on every node",
    "disk": "0.0 GB free; fix: free some",
    "corpus": "6 of 6 recordings cannot be read",
    "mlflow": "refused; fix: start it, or go on without",
}
"""What is said of a broken set-up, and where."""
Spoil = Callable[[NodeReport], NodeReport]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    write_note(str(tmp_path), "visit", "driver")
    return str(tmp_path)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    return str(tmp_path / "a.wav")


def visit(storage: str, recording: str, *others: Question, spoil: Spoil = lambda report: report) -> dict[str, Finding]:
    """Findings on two nodes; the second may have another question, or a spoilt report."""
    question = Question(storage, "visit", [recording])
    reports = [make_report(question, 0), spoil(make_report(others[0] if others else question, 0))]
    answers = [
        Answer(replace(report, host=f"node-{index}"), report.clock_s - 0.1, report.clock_s + 0.1)
        for index, report in enumerate(reports)
    ]
    seen = len(read_notes(storage, "visit")) - 1
    findings = judge(answers, versions(), storage=storage, seen=seen, recordings=1)
    return {finding.check: finding for finding in findings}


def assert_only(findings: dict[str, Finding], check: str, *words: str) -> None:
    assert [finding.check for finding in findings.values() if not finding.ok] == [check]
    line = str(findings[check])
    assert "\n" not in line
    assert "; fix: " in line
    for word in words:
        assert word in line


def test_healthy_nodes_then_all_is_well(storage: str, recording: str) -> None:
    findings = visit(storage, recording)
    assert all(finding.ok for finding in findings.values())
    assert list(findings) == ["nodes", "versions", "storage", "disk", "clock", "gpu", "torchaudio", "corpus"]


def test_other_version_then_named_with_both(storage: str, recording: str) -> None:
    def spoil(report: NodeReport) -> NodeReport:
        return replace(report, versions=report.versions | {"torch": "2.1.0"})

    findings = visit(storage, recording, spoil=spoil)
    assert_only(findings, "versions", "node-1: torch 2.1.0, the driver has " + versions()["torch"])


def test_unreadable_corpus_then_first_recording_named(storage: str, recording: str) -> None:
    Path(recording).with_name("b.wav").write_bytes(b"RIFF")
    question = Question(storage, "visit", [str(Path(recording).with_name("b.wav")), "/nowhere/c.wav"])
    assert_only(visit(storage, recording, question), "corpus", "node-1: 2 of 2 recordings cannot be read", ".wav")


def test_storage_of_its_own_then_not_shared(storage: str, recording: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    findings = visit(storage, recording, Question(str(tmp_path / "own"), "visit", [recording]))
    assert_only(findings, "storage", "node-1", "the driver's file is not there", "mounted on every node")


def test_storage_that_cannot_be_made_then_told_and_the_rest_too(storage: str, recording: str) -> None:
    findings = visit(storage, recording, Question(f"{recording}/searches", "visit", [recording]))
    assert_only(findings, "storage", "node-1", "cannot be written: Not a directory")


def test_uri_that_does_not_answer_then_one_finding(recording: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory_is_away(monkeypatch)
    (finding,) = doctor.examine("memory://u:s3cret@away", None, tracking="", study="")
    said = f"memory://u:***@away: {SAID}; what it holds is safe"
    assert finding == Finding("storage", False, said, "give --storage a folder or URI to write")
    assert make_report(Question("memory://u:s3cret@away", "visit", [recording]), 0).storage == said


def test_storage_whose_writes_are_lost_then_not_shared(storage: str, recording: str) -> None:
    answers = [Answer(replace(make_report(Question(storage, "visit"), 0), host="node-0"), 0.0, time.time())]
    (finding,) = (one for one in judge(answers, versions(), storage=storage, seen=0, recordings=0) if not one.ok)
    assert "storage" in str(finding)
    assert "files of 1 nodes do not arrive" in finding.found


def test_full_disk_then_folder_and_what_is_left(storage: str, recording: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=3e8) if path == storage else usage(path)
    )
    assert_only(visit(storage, recording), "disk", f"{storage} has 0.3 GB free", "targets gc")


def test_clock_that_is_ahead_then_by_how_much(storage: str, recording: str) -> None:
    report = make_report(Question(storage, "visit"), 0)
    now_s = time.time()
    answers = [Answer(replace(report, host="node-0", clock_s=now_s + 31.0), now_s - 1.0, now_s + 1.0)]
    found = {one.check: one for one in judge(answers, versions(), storage=storage, seen=1, recordings=0)}
    assert_only(found, "clock", "node-0: clock off by 30.0 s")


def test_gpus_that_torch_does_not_see_then_counted(storage: str) -> None:
    assert "Ray counts 2 GPUs, torch" in make_report(Question(storage, "visit"), 2).gpu


def test_node_that_does_not_answer_then_named(storage: str, recording: str) -> None:
    findings = visit(storage, recording, spoil=lambda report: NodeReport("?", absent="no answer within 90 s"))
    assert_only(findings, "nodes", "node-1: no answer within 90 s")


def test_mlflow_down_then_told_that_it_can_wait() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finding = check_mlflow(f"http://127.0.0.1:{port}")
    assert not finding.ok
    assert "refused" in finding.found
    assert "raysearch sync" in finding.fix


def test_mlflow_up_then_ok() -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Healthy)
    Thread(target=server.serve_forever, daemon=True).start()
    assert check_mlflow(f"http://127.0.0.1:{server.server_port}/").ok
    server.shutdown()


def test_study_in_a_database_that_is_down_then_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysearch.storage.database.AWAY_S", 0.0)
    finding = check_study("postgresql+psycopg2://me:secret@127.0.0.1:1/none")
    assert not finding.ok
    assert "secret" not in str(finding)
    assert check_study("sqlite://").ok


def test_corpus_that_the_driver_cannot_read_then_said_as_in_a_search() -> None:
    def corpus() -> None:
        raise InputError("corpus.root: /nowhere: no such folder")

    assert doctor._sample(corpus) == ([], "corpus.root: /nowhere: no such folder")


# A node that differs from the driver in all that a node can: its storage is a small disk of its own, the corpus is not
# mounted, one package is another version. The mounts are seen by this node alone.
MOUNTS = "mount -t tmpfs -o size=16m none {storage} && mount -t tmpfs none {corpus}"
BROKEN_NODE = """
{mounts}
exec {ray} start --address={address} --num-cpus=1 --disable-usage-stats --block
"""


@pytest.fixture
def may_mount() -> bool:
    """Whether a process here may have mounts of its own. Fails without util-linux's command, which every Linux has."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def broken_node(address: str, mounts: str, packages: Path) -> Iterator[None]:
    """`mounts`: what mounts the node's own storage and corpus, or nothing."""
    (packages / "lhotse-0.0.1.dist-info").mkdir(parents=True)
    (packages / "lhotse-0.0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lhotse\nVersion: 0.0.1\n"
    )
    ray_command = Path(sys.executable).parent / "ray"
    script = BROKEN_NODE.format(ray=ray_command, address=address, mounts=mounts)
    path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
    node = subprocess.Popen(
        [*(("unshare", "--mount") if mounts else ()), "sh", "-ec", script],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_doctor_on_real_nodes_healthy_and_broken(tmp_path: Path, may_mount: bool) -> None:
    import ray
    from ray.cluster_utils import Cluster

    storage, corpus = tmp_path / "searches", tmp_path / "corpus"
    storage.mkdir()
    for seed, (split, label) in enumerate(product(("train", "dev", "test"), ("yes", "no"))):
        (corpus / split / label).mkdir(parents=True)
        noise_S = np.random.default_rng(seed).normal(0, 0.1, 16_000)
        soundfile.write(corpus / split / label / "0.wav", noise_S, 16_000)
    settings = LabelledSettings(root=corpus)

    def findings(tracking: str) -> dict[str, Finding]:
        found = doctor.examine(str(storage), lambda: read_labelled(settings, None), tracking=tracking, study="")
        print("\n".join(map(str, found)))
        return {finding.check: finding for finding in found}

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        healthy = findings("sqlite:///")
        assert all(finding.ok for finding in healthy.values())
        assert healthy["nodes"].found == "2 answer"
        assert list(storage.iterdir()) == []
        mounts = MOUNTS.format(storage=storage, corpus=corpus) if may_mount else ""
        with broken_node(cluster.address, mounts, tmp_path / "packages"):
            deadline_s = time.monotonic() + 120
            while len([node for node in ray.nodes() if node["Alive"]]) < 3:
                assert time.monotonic() < deadline_s, "the broken node did not join"
                time.sleep(0.5)
            broken = findings("http://127.0.0.1:1")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert broken["nodes"].found == "3 answer"
    expected = LINES if may_mount else {check: LINES[check] for check in ("versions", "mlflow")}
    assert {check for check, finding in broken.items() if not finding.ok} == set(expected)
    for check, words in expected.items():
        assert words in str(broken[check])
    if not may_mount:
        pytest.skip("found what it should, but nothing may be mounted here: storage, disk, corpus were not broken")
