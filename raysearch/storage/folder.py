"""Where things lie: one folder a search, and beside them the store that searches share.

ROOT/NAME/spec.yaml        the resolved search document
ROOT/NAME/study.journal    the study, unless it lives in a database
ROOT/NAME/search.json      where the study and the MLflow store are
ROOT/NAME/trials/0007/     curve.jsonl, checkpoint, student/, head-TASK/
ROOT/NAME/front.*          the front when the search last ended
ROOT/_store/               corpora, teachers, label sets

ROOT is a folder that all nodes see, or a URI. Of a URI every node has a copy in a folder of its own, which is filled
when a trial begins and written back when it reports; the driver writes the study back every few seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.files.remote import Remote, is_remote
from raysearch.files.whole import whole_file, write_new
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec
from raysearch.targets.store import STORE, Store

JOB_FALLBACK = Path("~/raysearch/searches")
COPIES = "~/.cache/raysearch"
LIGHT = ("spec.yaml", "search.json", "study.journal", "driver.json")
"""What tells of a search without its trials' weights."""


def default_root() -> Path:
    """`searches` here; in a Ray job, whose working directory is thrown away, a folder of the user's home."""
    in_job = "working_dir_files" in Path.cwd().parts
    return JOB_FALLBACK.expanduser() if in_job else Path("searches")


def copy_of(uri: str) -> Path:
    """This node's copy of what lies at a URI; `RAYSEARCH_CACHE` moves all copies to a larger disk."""
    copies = Path(os.environ.get("RAYSEARCH_CACHE", COPIES)).expanduser()
    return copies / content_digest(uri.rstrip("/"), digits=12)


def study_url(storage: str | None) -> str:
    """`storage`, if it names a database; else empty."""
    return storage if storage and "://" in storage and not is_remote(storage) else ""


@dataclass(frozen=True)
class Links:
    """What a search folder refers to outside itself."""

    study: str
    """Database URL; empty for the journal in the folder."""
    tracking: str
    """MLflow tracking URI."""


@dataclass(frozen=True)
class SearchFolder:
    root: Path
    name: str
    uri: str = ""
    """Where all searches really lie, if not in a folder: `root` is then this node's copy."""

    @classmethod
    def of(cls, storage: str | None, name: str) -> SearchFolder:
        """The folder of a search. `storage` is a folder, a URI, or a database URL, which leaves the folder at its
        default.
        """
        if storage and is_remote(storage):
            return cls(copy_of(storage), name, storage.rstrip("/"))
        root = Path(storage) if storage and "://" not in storage else default_root()
        return cls(root.expanduser().resolve(), name)

    @property
    def path(self) -> Path:
        return self.root / self.name

    @property
    def store(self) -> Store:
        return Store(self.root / STORE, f"{self.uri}/{STORE}" if self.uri else "")

    @property
    def place(self) -> str:
        """Where all searches lie, as a user says it."""
        return self.uri or str(self.root)

    def searches(self) -> list[str]:
        """Names of the searches there."""
        if not self.uri:
            return sorted(path.parent.name for path in self.root.glob("*/search.json"))
        names = (Path(name).parts for name in Remote(self.uri).files(""))
        return sorted(parts[0] for parts in names if parts[1:] == ("search.json",))

    @property
    def remote(self) -> Remote | None:
        """The search at its URI; None in a folder."""
        return Remote(f"{self.uri}/{self.name}") if self.uri else None

    def fetch(self, *, students: bool = False) -> None:
        """Brings this node's copy of a search at a URI up to date: the study, and trials' curves or also weights."""
        if (remote := self.remote) is None:
            return
        for name in LIGHT:
            path, content = self.path / name, remote.read(name)
            # A journal only grows: what this node wrote last, just before it died, may not have been written back.
            if content is not None and not (path.exists() and path.read_bytes().startswith(content)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self.fetch_trials(lambda name: "/checkpoints/" not in name if students else name.endswith("/curve.jsonl"))

    def fetch_trials(self, wanted: Callable[[str], bool]) -> None:
        """Of the trials' files at a URI those whose name is wanted."""
        if (remote := self.remote) is None:
            return
        for name in filter(wanted, remote.files("trials")):
            path = self.path / "trials" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(remote.read(f"trials/{name}") or b"")

    @property
    def exists(self) -> bool:
        return (self.path / "search.json").exists()

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def create(self, spec: Spec, links: Links) -> bool:
        """Returns False where another driver has just taken the name."""
        self.path.mkdir(parents=True, exist_ok=True)
        document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            with whole_file(self.path / "spec.yaml") as part:
                part.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
                # Of two drivers that start at once, one gets the name.
                write_new(self.path / "search.json", json.dumps(asdict(links), indent=2))
        except FileExistsError:
            return False
        if remote := self.remote:
            for name in ("spec.yaml", "search.json"):
                remote.write(name, (self.path / name).read_bytes())
        return True

    def abandon(self) -> None:
        """Makes the name free again; what lies in the folder stays until the next search replaces it."""
        (self.path / "search.json").unlink()

    def spec(self) -> Spec:
        path = self.path / "spec.yaml"
        return parse_spec(yaml.safe_load(path.read_text()), where=str(path))

    def links(self) -> Links:
        """Raises: InputError if there is no such search."""
        try:
            return Links(**json.loads((self.path / "search.json").read_text()))
        except FileNotFoundError as err:
            known = ", ".join(self.searches()) or "none yet"
            raise InputError(f"{self.name}: no such search in {self.place}; expected one of: {known}") from err

    def study_storage(self) -> str:
        return self.links().study or str(self.path / "study.journal")

    def curve(self, number: int) -> list[dict[str, Any]]:
        """Lines of a trial's curve; a line that is being written is left out."""
        try:
            lines = (self.trial(number) / "curve.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("\n")]
