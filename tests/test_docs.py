"""Every command in the pages parses, and every file that one names is there."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from raysearch.cli import app

CHECKOUT = Path(__file__).parents[1]
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))


def commands(page: Path) -> list[str]:
    return re.findall(r"^    ((?:raysearch|python) .+?)(?:  +#.*)?$", page.read_text(), flags=re.MULTILINE)


def parse(words: list[str]) -> click.Context:
    """The verb's context: its arguments are read, it is not run."""
    command: click.Command = typer.main.get_command(app)
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(context, words)
        assert command is not None
    return command.make_context(command.name, words)


@pytest.mark.parametrize(("page", "line"), [(page.name, line) for page in PAGES for line in commands(page)])
def test_command_parses(page: str, line: str) -> None:
    program, *words = shlex.split(line)
    for word in words:
        if word.endswith((".yaml", ".py")):
            assert (CHECKOUT / word).is_file(), f"{page}: {word}"
    if program == "raysearch":
        parse(words)


def test_unknown_option_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="--gpuss"):
        parse(["plan", "search_spaces/quickstart.yaml", "--gpuss", "3"])


def test_scale_page_has_commands() -> None:
    assert len(commands(CHECKOUT / "docs" / "scale.md")) > 3
