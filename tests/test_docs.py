"""Every command of the documents is one that the command line takes, and every file that they name is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from raysearch import __version__
from raysearch.cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EACH = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
FOLDERS = (
    "benchmarks",
    "clusters",
    "docs",
    "encoders",
    "examples",
    "mlflow_server",
    "results",
    "search_spaces",
    "tests",
)
ENDS = ("&&", "||", "|", ";")
WRITES = ("-o", "--out", "--png", "--html")
"""Options before a file that need not be there."""


def code_lines(document: str) -> Iterator[str]:
    """Lines of indented and fenced blocks, those that end in a backslash joined with the next."""
    fenced = False
    for line in document.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def commands(document: str) -> Iterator[list[str]]:
    """The words of each command of ours; a line with `...` is no command but talks of one."""
    for line in code_lines(document):
        if not re.match(r"(\w+=\S+ )*(raysearch|make|python|pytest|ray) ", line):
            continue
        words = shlex.split(line.replace(";", " ; "), comments=True)
        if "..." in words:
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word in ENDS:
                yield command
                command = []
            else:
                command.append(word)


def check(words: list[str]) -> None:
    """Raises: AssertionError, or what the command line says to bad arguments."""
    for before, word in pairwise(["", *words]):
        if word.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and before not in WRITES:
            assert (ROOT / word.partition("::")[0]).exists(), f"{word}: no such file"
    if "make" in words:
        assert re.search(rf"^{words[words.index('make') + 1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for at, word in enumerate(words):
        if word == "raysearch":
            parse(words[at + 1 :])


def parse(words: list[str]) -> None:
    """Reads the words as the command line would, and runs nothing."""
    verb = get_command(app)
    while verbs := getattr(verb, "commands", None):
        assert words[0] in verbs, f"{words[0]}: no such verb"
        verb, words = verbs[words[0]], words[1:]
    verb.make_context(verb.name, list(words))


@EACH
def test_every_command_is_one(path: Path) -> None:
    for words in commands(path.read_text()):
        try:
            check(words)
        except Exception as err:
            pytest.fail(f"{path.name}: {shlex.join(words)}: {getattr(err, 'message', err)}")


def test_commands_are_found() -> None:
    found = [words for path in DOCUMENTS for words in commands(path.read_text())]
    assert {words[1] for words in found if words[0] == "raysearch"} >= {"search", "resume", "front", "pick", "record"}


@pytest.mark.parametrize(
    "line",
    [
        "    raysearch front first --pgn front.png",
        "    raysearch fronts first",
        "    raysearch export first three -o out",
        "    raysearch search search_spaces/no-such.yaml",
        "    ray job submit -- raysearch serch search_spaces/quickstart.yaml",
        "    make reslts",
    ],
)
def test_wrong_command_is_found(line: str) -> None:
    (words,) = commands(line)
    with pytest.raises(Exception, match=r"."):
        check(words)


@EACH
def test_every_link_leads_somewhere(path: Path) -> None:
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}: no such heading"


def links(path: Path) -> Iterator[tuple[str, str]]:
    """File and anchor of each link within the repository; no file where the page itself is meant."""
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if ":" not in link:
            file, _, anchor = link.partition("#")
            yield file, anchor


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_wrong_anchor_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# The `kind`: an4\n[here](#the-kind-an4), [there](page.md#the-kinds)\n", encoding="utf-8")
    assert list(links(page)) == [("", "the-kind-an4"), ("page.md", "the-kinds")]
    assert anchors(page) == {"the-kind-an4"}


def test_every_verb_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [verb for verb in get_command(app).commands if f"`{verb}" not in readme] == []


def test_changelog_has_a_section_for_this_version() -> None:
    sections = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == __version__


def test_citation_has_what_its_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_example_method_runs_in_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'examples'}:{ROOT}")
    (line,) = (
        words for words in commands((ROOT / "docs/adding-a-method.md").read_text()) if "PYTHONPATH=examples" in words[0]
    )
    changes = [
        "corpus={kind: synthetic, speakers: {train: 4, dev: 2, test: 2}, utterances: {train: 60, dev: 8, test: 8}}",
        *("teacher.updates=20", "teacher.depth=1", "teacher.width=64", "task.updates=10", "search.updates=4"),
        *("search.start=[{method: 'example_method:Similarity'}]", "search.trials=2", "workers.lanes=1"),
    ]
    words = [*line[2:], *(word for change in changes for word in ("--set", change)), "--storage", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, "-m", "raysearch.cli", *words, "--json"], capture_output=True, text=True, cwd=ROOT, timeout=550
    )
    assert found.returncode == 0, found.stderr
    states = {trial["config"]["method"]: trial["state"] for trial in json.loads(found.stdout)["trials"]}
    assert states["example_method:Similarity"] == "complete"
