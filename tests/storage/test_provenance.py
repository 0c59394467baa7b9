"""Which commit is recorded as the one that a search ran on."""

import subprocess
from pathlib import Path

import pytest

from raysearch.storage import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "one"], cwd=tmp_path, check=True)
    return tmp_path


def commit_of_code_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    (folder / "raysearch/storage").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(folder / "raysearch/storage/provenance.py"))
    return provenance.git_commit()


def test_code_in_a_checkout_has_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert commit_of_code_in(checkout, monkeypatch) == head.stdout.strip()


def test_code_in_an_environment_within_a_checkout_has_none(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of_code_in(checkout / ".venv/lib/site-packages", monkeypatch) is None
