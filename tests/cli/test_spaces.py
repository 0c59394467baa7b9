"""Documents by their names: listed by one verb, taken by all that take a document."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.errors import InputError
from raysearch.files.bundled import ENCODERS, SPACES, bundled


def test_spaces_are_listed_with_what_they_search() -> None:
    lines = CliRunner().invoke(app, ["spaces"]).stdout.splitlines()
    at = lines.index("  quickstart: 6 trials of dicehubert on synthetic")
    assert lines[at + 1].strip().startswith("A front in about five minutes")
    assert "  hubert-base" in lines


def test_json_names_every_document() -> None:
    found = json.loads(CliRunner().invoke(app, ["spaces", "--json"]).stdout)
    assert {one["name"]: Path(one["file"]) for one in found["spaces"]} == bundled(SPACES)
    assert {one["name"]: Path(one["file"]) for one in found["encoders"]} == bundled(ENCODERS)
    (quickstart,) = (one for one in found["spaces"] if one["name"] == "quickstart")
    assert (quickstart["corpus"], quickstart["methods"], quickstart["trials"]) == ("synthetic", ["dicehubert"], 6)


def test_cost_takes_names_of_encoders_and_of_search_documents() -> None:
    assert "params: 94,370,944" in CliRunner().invoke(app, ["cost", "hubert-base"]).stdout
    assert "macs_total" in CliRunner().invoke(app, ["cost", "oskdft-voxceleb"]).stdout


def test_corpus_is_checked_before_its_search_has_a_name(tmp_path: Path) -> None:
    """The fault is of the corpus: the document is taken."""
    document = {"corpus": {"kind": "an4", "root": str(tmp_path / "none")}, "teacher": {}, "method": "dicehubert"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document | {"task": {"kind": "phonemes"}}))
    found = CliRunner().invoke(app, ["corpus", "check", str(tmp_path / "mine.yaml"), "--storage", str(tmp_path)])
    assert str(tmp_path / "none") in str(found.exception)


@pytest.mark.parametrize(
    "words",
    [
        ["search"],
        ["plan", "--gpus", "1"],
        ["profile"],
        ["corpus", "check"],
        ["targets", "build"],
        ["doctor"],
        ["cost"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("name", "fault"),
    [("quickstrat", "(did you mean quickstart?)"), ("quickstart", "quickstart.yaml: search.trails: unknown key")],
)
def test_every_verb_that_takes_a_document_takes_a_name(
    words: list[str], name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a misspelt key, so that the document is read and nothing more is done."""
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, [*words, name, "--set", "search.trails=1"])
    assert isinstance(found.exception, InputError), found.output
    assert fault in str(found.exception)
