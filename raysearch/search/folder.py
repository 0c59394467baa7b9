"""Where things lie: one folder a search, and beside them the store that searches share.

ROOT/NAME/spec.yaml        the resolved search document
ROOT/NAME/study.journal    the study, unless it lives in a database
ROOT/NAME/search.json      where the study and the MLflow store are
ROOT/NAME/trials/0007/     curve.jsonl, checkpoint, student/, head-TASK/
ROOT/NAME/front.*          the front when the search last ended
ROOT/_store/               corpora, teachers, label sets
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from raysearch.errors import InputError
from raysearch.spec import Spec, parse_spec

STORE = "_store"
JOB_FALLBACK = Path("~/raysearch/searches")


def default_root() -> Path:
    """`searches` here; in a Ray job, whose working directory is thrown away, a folder of the user's home."""
    in_job = "working_dir_files" in Path.cwd().parts
    return JOB_FALLBACK.expanduser() if in_job else Path("searches")


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

    @classmethod
    def of(cls, storage: str | None, name: str) -> SearchFolder:
        """The folder of a search. `storage` is a folder, or a database URL, which leaves the folder at its default."""
        root = Path(storage) if storage and "://" not in storage else default_root()
        return cls(root.expanduser().resolve(), name)

    @property
    def path(self) -> Path:
        return self.root / self.name

    @property
    def store(self) -> Path:
        return self.root / STORE

    @property
    def exists(self) -> bool:
        return (self.path / "search.json").exists()

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def create(self, spec: Spec, links: Links) -> bool:
        """Returns False where another driver has just taken the name."""
        self.path.mkdir(parents=True, exist_ok=True)
        document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        spec_part = self._part("spec.yaml", yaml.safe_dump(document, sort_keys=False))
        links_part = self._part("search.json", json.dumps(asdict(links), indent=2))
        try:
            # A link fails where its name exists: of two drivers that start at once, one gets the name.
            os.link(links_part, self.path / "search.json")
        except FileExistsError:
            spec_part.unlink()
            return False
        finally:
            links_part.unlink()
        os.replace(spec_part, self.path / "spec.yaml")
        return True

    def abandon(self) -> None:
        """Makes the name free again; what lies in the folder stays until the next search replaces it."""
        (self.path / "search.json").unlink()

    def _part(self, name: str, text: str) -> Path:
        part = self.path / f"{name}.{os.urandom(4).hex()}.part"
        part.write_text(text)
        return part

    def spec(self) -> Spec:
        path = self.path / "spec.yaml"
        return parse_spec(yaml.safe_load(path.read_text()), where=str(path))

    def links(self) -> Links:
        """Raises: InputError if there is no such search."""
        try:
            return Links(**json.loads((self.path / "search.json").read_text()))
        except FileNotFoundError as err:
            known = ", ".join(searches(self.root)) or "none yet"
            raise InputError(f"{self.name}: no such search in {self.root}; expected one of: {known}") from err

    def study_storage(self) -> str:
        return self.links().study or str(self.path / "study.journal")

    def curve(self, number: int) -> list[dict[str, Any]]:
        """Lines of a trial's curve; a line that is being written is left out."""
        try:
            lines = (self.trial(number) / "curve.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("\n")]


def searches(root: Path) -> list[str]:
    """Names of the searches below a root."""
    return sorted(path.parent.name for path in root.glob("*/search.json"))
