"""What all verbs have in common: where they write, and who reads them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import raysearch
from raysearch import __version__
from raysearch.cli import PANELS, app, main
from raysearch.errors import InputError
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from tests.away import SAID, memory_is_away
from tests.search.made_up import ABOUT, spec_with

RECORD = str(Path(__file__).parents[2] / "results/sv.json.gz")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["front", RECORD, "--png"], "--png"),
        (["front", RECORD, "--html"], "--html"),
        (["record", "none", "-o"], "--out"),
        (["table", "none", "-o"], "--out"),
    ],
)
def test_file_in_a_folder_that_is_missing_is_refused_before_the_work(words: list[str], option: str) -> None:
    found = CliRunner().invoke(app, [*words, "/nowhere/x.json.gz"])
    assert isinstance(found.exception, InputError)
    assert str(found.exception).startswith(f"{option}: /nowhere/x.json.gz: no such folder; expected")


def test_front_with_published_points_keeps_them_apart(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "name,task,metric,error,macs_g,macs_of,params_m,teacher,source\n"
        "other,speaker:an4,eer,9.5,5.1,superb-32,0.4,,report 7\n"
    )
    plain = json.loads(CliRunner().invoke(app, ["front", RECORD, "--json"]).stdout)
    words = ["front", RECORD, "--published", "superb", "--published", str(file)]
    found = CliRunner().invoke(app, [*words, "--json"])
    together = json.loads(found.stdout)
    published = together.pop("published")
    assert together == plain
    assert [point["name"] for point in published["points"]] == ["other"]
    assert published["left_out"] == [found.stderr.rstrip("\n")]
    assert found.stderr.startswith("published superb: left out: corpus.kind: an4; expected voxceleb")
    table = CliRunner().invoke(app, words).stdout
    assert table.splitlines()[-2].split()[:4] == ["other", "5.1", "0.40", "9.50"]


def test_published_points_of_no_file_are_refused() -> None:
    found = CliRunner().invoke(app, ["front", RECORD, "--published", "none.csv"])
    assert isinstance(found.exception, InputError)
    assert str(found.exception) == "--published: none.csv: no such file; expected one, or superb, voxceleb"


def test_reader_that_has_had_enough_is_no_fault() -> None:
    verb = subprocess.Popen(
        [sys.executable, "-m", "raysearch.cli", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert verb.stdout is not None
    assert verb.stderr is not None
    verb.stdout.close()
    said = verb.stderr.read()
    assert (verb.wait(timeout=60), said) == (1, b"")


def test_status_says_that_there_is_nothing(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["status", "--storage", str(tmp_path)])
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", f"no searches in {tmp_path}\n")


def test_help_groups_all_verbs_and_cuts_no_summary_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = CliRunner().invoke(app, ["-h"]).stdout
    assert found == CliRunner().invoke(app, ["--help"]).stdout
    assert "..." not in found.partition("Options:")[2]
    assert max(map(len, found.splitlines())) <= 80
    titles = [line for line in found.splitlines() if line and not line.startswith(" ")]
    assert titles[1:] == ["Options:", *(f"{panel}:" for panel in PANELS)]
    listed = {line.split()[0] for line in found.splitlines() if line.startswith("  ") and line[2] != " "}
    assert listed >= get_command(app).commands.keys()


@pytest.mark.parametrize("words", [["front"], ["targets"], ["targets", "gc"]], ids=" ".join)
def test_short_help_is_help_everywhere(words: list[str]) -> None:
    asked = CliRunner().invoke(app, [*words, "-h"])
    assert (asked.exit_code, asked.stdout) == (0, CliRunner().invoke(app, [*words, "--help"]).stdout)


def test_tables_fit_the_terminal_unless_wide_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = CliRunner().invoke(app, ["front", RECORD]).stdout.splitlines()[1:]
    assert max(map(len, narrow)) <= 80
    wide = CliRunner().invoke(app, ["front", RECORD, "--wide"]).stdout
    monkeypatch.delenv("COLUMNS")
    assert wide == CliRunner().invoke(app, ["front", RECORD]).stdout
    assert "left out" not in wide


def test_label_sets_are_a_table_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {
        "digest": "0123456789abcdef",
        "teacher": "ab" * 32,
        "layer": 4,
        "clusters": 100,
        "seed": 0,
        "corpus": "c" * 32,
    }
    figures = {"fit_frames": 28620.0, "inertia": 28620.4, "dead_clusters": 0.0, "perplexity": 88.12, "hop_samples": 640}
    monkeypatch.setattr(raysearch, "label_sets", lambda storage: [one | figures])
    monkeypatch.setenv("COLUMNS", "80")
    head, row, left_out = CliRunner().invoke(app, ["targets", "ls"]).stdout.splitlines()
    assert head.split("  ")[0] == "label set"
    assert row.split() == ["0123456789abcdef", "layer", "4", "100", "0", "88.1", "-", "28,620"]
    assert left_out.startswith("left out: ")
    assert "e+" not in CliRunner().invoke(app, ["targets", "ls", "--wide"]).stdout


def test_kept_features_are_a_table_below_the_label_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"digest": "fedcba9876543210", "teacher": "ab" * 32, "layer": 8, "corpus": "c" * 32}
    one |= {"hop_samples": 320, "cuts": 28_539, "bytes": 265_420_800_000}
    monkeypatch.setattr(raysearch, "label_sets", lambda storage: [])
    monkeypatch.setattr(raysearch, "kept_features", lambda storage: [one])
    monkeypatch.setenv("COLUMNS", "120")
    head, row = CliRunner().invoke(app, ["targets", "ls"]).stdout.splitlines()
    assert head.split() == ["features", "of", "cuts", "MB", "hop", "teacher", "corpus"]
    assert row.split() == ["fedcba9876543210", "layer", "8", "28,539", "265,420.8", "320", "abababab", "cccccccc"]
    (found,) = json.loads(CliRunner().invoke(app, ["targets", "ls", "--json"]).stdout)
    assert found == {"kind": "features", **one}


def test_shared_trainings_are_a_table_of_their_own(tmp_path: Path) -> None:
    store = SearchFolder(tmp_path, "").store.trainings
    store.get_or_train("fedcba9876543210", lambda folder: (folder / "content").write_bytes(b"1" * 2_000_000))
    os.utime(tmp_path / "_store/trainings/fedcba9876543210/complete", (86_400, 86_400))
    head, row = CliRunner().invoke(app, ["targets", "ls", "--storage", str(tmp_path)]).stdout.splitlines()
    assert head.split() == ["training", "MB", "last", "used"]
    assert row.split() == ["fedcba9876543210", "2.0", "1970-01-02"]
    (found,) = json.loads(CliRunner().invoke(app, ["targets", "ls", "--storage", str(tmp_path), "--json"]).stdout)
    assert (found["kind"], found["digest"], found["used_s"]) == ("training", "fedcba9876543210", 86_400.0)


def test_version_is_the_packages_own() -> None:
    found = CliRunner().invoke(app, ["--version"])
    assert (found.exit_code, found.stdout) == (0, f"raysearch {__version__}\n")


def test_status_names_what_it_cannot_read_and_shows_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysearch.storage.database.AWAY_S", 0.0)
    away = "postgresql+psycopg2://alice:s3cret@127.0.0.1:1/studies"
    for name, study in (("away", away), ("cut", ""), ("sound", "")):
        folder = SearchFolder(tmp_path, name)
        folder.create(spec_with(name=name), Links(study=study, tracking=""))
        if not study:
            Study.create(folder.study_storage(), name, ["macs", "per"], ABOUT)
    (tmp_path / "cut" / "search.json").write_text("{")
    found = CliRunner().invoke(app, ["status", "--storage", str(tmp_path)])
    assert found.exit_code == 0
    assert found.stdout.startswith("sound: no trial yet of 6")
    said = found.stderr.splitlines()
    assert said[0].startswith(f"away: not read: the study's database {away.replace('s3cret', '***')}: connection to")
    assert said[1].startswith(f"cut: not read: {tmp_path}/cut/search.json: damaged; expected the addresses")
    assert len(said) == 2
    assert CliRunner().invoke(app, ["status", "cut", "--storage", str(tmp_path)]).exception is not None


def test_searches_at_a_uri_that_does_not_answer_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    memory_is_away(monkeypatch)
    monkeypatch.setattr("sys.argv", ["raysearch", "status", "--storage", "memory://u:s3cret@away"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = f"memory://u:***@away: {SAID}; what it holds is safe\n"
    assert (ended.value.code, capsys.readouterr().err) == (1, said)


@pytest.mark.parametrize(
    ("code", "number", "line"),
    [
        (1, errno.EROFS, "/s/x: Read-only file system; expected a place that you may write"),
        (1, errno.EACCES, "/s/x: Permission denied; expected a place that you may write"),
        (1, errno.ENOSPC, "disk full while writing /s/x; free some space, then try again"),
        (2, errno.EISDIR, "/s/x: Is a directory; expected another path"),
        (2, errno.ENAMETOOLONG, "/s/x: File name too long; expected another path"),
    ],
)
def test_place_that_cannot_be_used_is_one_line(
    code: int, number: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**given: object) -> None:
        raise OSError(number, os.strerror(number), "/s/x")

    monkeypatch.setattr("raysearch.searches", refuse)
    monkeypatch.setattr("sys.argv", ["raysearch", "status"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{line}\n")
