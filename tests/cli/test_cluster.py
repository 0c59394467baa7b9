"""doctor, submit, convert and gc through the command line: exit codes, one document or one line."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from raysearch.cluster import connection, doctor
from raysearch.cluster.doctor import Finding


@pytest.fixture
def findings(monkeypatch) -> list[Finding]:
    """What the doctor finds; no Ray is started."""
    found = [Finding("nodes", True, "3 answer")]
    monkeypatch.setattr(connection, "connected", lambda address: nullcontext(True))
    monkeypatch.setattr(doctor, "examine", lambda *asked, **how: found)
    return found


def test_doctor_on_a_healthy_cluster_exits_0(raysearch, findings, tmp_path: Path) -> None:
    code, out, _ = raysearch("doctor", "--storage", tmp_path)
    assert (code, out) == (0, "ok    nodes       3 answer\n")


def test_doctor_that_finds_a_fault_exits_1_with_its_line(raysearch, findings, tmp_path: Path) -> None:
    findings.append(Finding("disk", False, "node-1: /shared has 0.3 GB free", "free some"))
    code, out, _ = raysearch("doctor", "--storage", tmp_path)
    assert code == 1
    assert out.splitlines()[1] == "FAIL  disk        node-1: /shared has 0.3 GB free; fix: free some"
    code, out, _ = raysearch("doctor", "--storage", tmp_path, "--json")
    assert code == 1
    assert [one["ok"] for one in json.loads(out)] == [True, False]


def test_submit_says_what_goes_along_and_gives_back_the_exit_code(raysearch, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.py").write_text("x" * 1000)
    ran = []

    def stand_in(command: list[str], check: bool):
        ran.append(command)
        return type("Ended", (), {"returncode": 3})

    monkeypatch.setattr("subprocess.run", stand_in)
    monkeypatch.setattr("raysearch.cluster.submission.check_dashboard", lambda address: None)
    words = ("--address", "http://h:8265", "--working-dir", tmp_path, "--", "raysearch", "search", "s.yaml")
    code, out, _ = raysearch("submit", *words)
    assert code == 3
    assert out.splitlines()[0].startswith("package: 0.0 MB in 1 files")
    (command,) = ran
    assert command[1:3] == ["job", "submit"]
    assert command[3:] == ["--address", "http://h:8265", "--working-dir", str(tmp_path), "--", *words[5:]]


def test_convert_refuses_what_is_not_there(raysearch, tmp_path: Path) -> None:
    code, out, err = raysearch("convert", f"hf:{tmp_path}", "-o", tmp_path / "out")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "config.json: No such file or directory" in err


def test_gc_of_an_empty_place_frees_nothing(raysearch, tmp_path: Path) -> None:
    code, out, _ = raysearch("targets", "gc", "--storage", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {
        "removed": True,
        "bytes": 0,
        "label_sets": [],
        "pseudo_labels": [],
        "mels": [],
        "features": [],
        "heads": [],
        "trainings": [],
        "checkpoints": {},
    }
