"""The site builds without a warning and without a network, and holds every page."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "docs").rglob("*.md"), *(path for path in ROOT.glob("*.md") if path.name != "README.md")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def refuse(*args: object) -> None:
    raise AssertionError("the site's build asked the network")


def test_every_page_is_on_the_site(site: Path) -> None:
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    docs = ROOT / "docs"
    names = {path.relative_to(docs if path.is_relative_to(docs) else ROOT).with_suffix("").as_posix() for path in PAGES}
    assert names - built == set()


def test_files_that_pages_link_come_along(site: Path) -> None:
    assert (site / "source/examples/example_method.py").read_bytes() == (
        ROOT / "examples/example_method.py"
    ).read_bytes()
    assert 'href="source/examples/example_method.py"' in (site / "adding-a-method.html").read_text(encoding="utf-8")


def test_diagram_is_left_to_be_drawn(site: Path) -> None:
    assert '<pre class="mermaid"><code>flowchart' in (site / "architecture.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="([^"]+)"', page.read_text("utf-8")
        )
        assert [url for url in loaded if re.match(r"(?:https?:)?//", url)] == [], page.name
