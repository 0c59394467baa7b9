"""Fits the pages to their site. mkdocs reads docs/ alone; some pages, and files that pages link, lie beside it.

On the site, `CONTRIBUTING.md` and its like stand among the pages of docs/, and other files under `source/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BESIDE = ("RESULTS.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages that lie beside docs/."""
LINK = re.compile(r"(?<=\]\()[^)#:\s]+")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of a folder in place of its name, and leaves out what is not there."""
    config.nav = list(_entries(config.nav or []))
    return config


def _entries(nav: list[Any]) -> Iterator[Any]:
    for entry in nav:
        if isinstance(entry, dict):
            ((title, inner),) = entry.items()
            below = [inner] if isinstance(inner, str) and inner.endswith("/") else inner
            found = list(_entries(below)) if isinstance(below, list) else below
            if found:
                yield {title: found}
        elif entry.endswith("/"):
            pages = sorted((DOCS / entry).glob("*.md"), key=lambda path: (path.stem != "index", path.stem))
            yield from (path.relative_to(DOCS).as_posix() for path in pages)
        elif entry not in BESIDE or (ROOT / entry).is_file():
            yield entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie beside docs/, and the files that any page links."""
    for name in BESIDE:
        if (ROOT / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    linked = {link for page in files.documentation_pages() for link in _links(Path(page.abs_src_path or ""))}
    for path in sorted(linked):
        if (place := _place(path)).startswith("source/"):
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links to where things lie on the site."""
    folder, own = Path(page.file.abs_src_path or "").parent, page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        path = (folder / found[0]).resolve()
        return relpath(_place(path), dirname(own) or ".") if path.is_file() else found[0]

    return LINK.sub(moved, markdown)


def _links(page: Path) -> Iterator[Path]:
    """The files that a page links."""
    targets = ((page.parent / found[0]).resolve() for found in LINK.finditer(page.read_text(encoding="utf-8")))
    return (path for path in targets if path.is_file())


def _place(path: Path) -> str:
    """Where a file of the repository lies on the site."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    return {"README.md": "index.md"}.get(name, name if name in BESIDE else f"source/{name}")
