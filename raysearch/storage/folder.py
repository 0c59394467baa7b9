"""Where a search keeps its files: a folder for each search, and beside them the store that searches share.

ROOT/NAME/spec.yaml        the resolved search document
ROOT/NAME/study.journal    the study, unless it lives in a database
ROOT/NAME/search.json      where the study and the MLflow store are
ROOT/NAME/trials/0007/     curve.jsonl, evidence.json.gz, texts.json.gz, checkpoint, student/, head-TASK/
ROOT/NAME/front.*          the front when the search last ended
ROOT/_store/               corpora, teachers, label sets

ROOT is a folder that all nodes see, or a URI. If it is a URI, every node works on a copy in a folder of its own. The
copy of a trial is filled when the trial begins and written back when it reports; the driver writes the study back every
few seconds.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError, did_you_mean
from raysearch.evidence.kept import FILE as EVIDENCE
from raysearch.evidence.kept import Evidence, read_evidence
from raysearch.files.databases import sqlite_file, sqlite_url
from raysearch.files.digest import content_digest
from raysearch.files.remote import Remote, is_remote
from raysearch.files.secrets import PRIVATE, masked
from raysearch.files.whole import whole_file, write_new, write_whole
from raysearch.storage.stage import STAGE
from raysearch.targets.store import STORE, Store
from raysearch.training.monitoring.curve import CURVE_NAME

if TYPE_CHECKING:
    from raysearch.spec.document import Spec

JOB_FALLBACK = Path("~/raysearch/searches")
"""Where the searches of a Ray job lie if nothing else is said."""
MLFLOW_FILE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""The SQLite file and the folder of the MLflow beside the searches, where nothing else is said."""
COPIES = "~/.cache/raysearch"
"""Folder of this node's copies of what lies at URIs."""
LINKS = "search.json"
"""Name of the file that says where study and MLflow are. It may hold passwords."""
LIGHT = ("spec.yaml", LINKS, "study.journal", "driver.json", STAGE)
"""Files that tell of a search. They are small: the weights of its trials are elsewhere."""
LIGHT_OF_TRIALS = ("/curve.jsonl", f"/{EVIDENCE}")
"""Ends of the names of files that tell of a trial."""


def default_root() -> Path:
    """Where searches lie if nothing is said: in `searches` of the working directory.

    Ray throws the working directory of a job away, so a job's searches lie in the user's home instead.
    """
    # Ray unpacks the package of a job below a folder of this name.
    in_job = "working_dir_files" in Path.cwd().parts
    return JOB_FALLBACK.expanduser() if in_job else Path("searches")


def copy_of(uri: str) -> Path:
    """Folder of this node's copy of what lies at a URI. `RAYSEARCH_CACHE` moves all copies, as to a larger disk."""
    copies = Path(os.environ.get("RAYSEARCH_CACHE", COPIES)).expanduser()
    return copies / content_digest(uri.rstrip("/"), digits=12)


def study_url(storage: str | None) -> str:
    """The given `storage` if it is the URL of a database, else an empty text."""
    return storage if storage and "://" in storage and not is_remote(storage) else ""


@dataclass(frozen=True)
class Links:
    """Where the study and the MLflow store of a search are."""

    study: str
    """Database URL of the study; empty if it is a journal in the search's folder."""
    tracking: str
    """Tracking URI of MLflow; empty if that is the SQLite file beside the searches."""
    token: str = ""
    """What tells this search from others of its name: its study carries it too. Earlier versions had none."""


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search, which need not exist yet."""

    root: Path
    """Folder of all searches."""
    name: str
    """Name of the search."""
    uri: str = ""
    """URI at which all searches really lie, if not in a folder. Then `root` is this node's copy."""

    @classmethod
    def of(cls, storage: str | None, name: str) -> SearchFolder:
        """The folder of the search with this name.

        `storage` is a folder or a URI in which all searches lie. It may also be a database URL, which is only for the
        study: the folder is then where it is by default.
        """
        if storage and is_remote(storage):
            return cls(copy_of(storage), name, storage.rstrip("/"))
        root = Path(storage) if storage and "://" not in storage else default_root()
        return cls(root.expanduser().resolve(), name)

    @property
    def path(self) -> Path:
        """The folder itself, or this node's copy of it."""
        return self.root / self.name

    @property
    def store(self) -> Store:
        """The store beside the searches: teachers, label sets and other things that they share."""
        return Store(self.root / STORE, f"{self.uri}/{STORE}" if self.uri else "")

    @property
    def place(self) -> str:
        """Where all searches lie, as messages name it: the URI without its password, or the folder."""
        return masked(self.uri) or str(self.root)

    @property
    def resume_command(self) -> str:
        """The command that goes on with this search, to be typed where this process runs."""
        return self._command("resume")

    @property
    def sync_command(self) -> str:
        """The command that sends MLflow what it lacks of this search, to be typed where this process runs."""
        return self._command("sync")

    def _command(self, verb: str) -> str:
        command = f"raysearch {verb} {self.name}"
        plain = SearchFolder.of(os.environ.get("RAYSEARCH_STORAGE") or None, self.name)
        if (plain.root, plain.uri) == (self.root, self.uri):
            return command
        relative = self.root.is_relative_to(Path.cwd()) and not self.uri
        place = str(self.root.relative_to(Path.cwd())) if relative else self.place
        return f"{command} --storage {shlex.quote(place)}"

    def searches(self) -> list[str]:
        """Names of all searches that lie there."""
        if not self.uri:
            return sorted(path.parent.name for path in self.root.glob(f"*/{LINKS}"))
        names = (Path(name).parts for name in Remote(self.uri).files(""))
        return sorted(parts[0] for parts in names if parts[1:] == (LINKS,))

    @property
    def remote(self) -> Remote | None:
        """The search at its URI; None if searches lie in a folder."""
        return Remote(f"{self.uri}/{self.name}") if self.uri else None

    def fetch(self, *, students: bool = False) -> None:
        """Brings this node's copy of a search at a URI up to date: the study, and what tells of its trials.

        If `students`, all files of the trials come but those of checkpoints to resume from. In a folder there is
        nothing to do.
        """
        if (remote := self.remote) is None:
            return
        for name in LIGHT:
            path, content = self.path / name, remote.read(name)
            # A journal only grows. What this node wrote just before it died may not have been written back, so its copy
            # may be longer than what is at the URI, and then must stay.
            if content is not None and not _holds(path, content):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(PRIVATE if name == LINKS else 0o666)
                path.write_bytes(content)
        if students:
            self.fetch_trials(lambda name: "/checkpoints/" not in name)
        else:
            self.fetch_light_of_trials()

    def fetch_light_of_trials(self) -> None:
        """Copies what tells of the trials at a URI: their curves, and their errors cut by cut."""
        self.fetch_trials(lambda name: name.endswith(LIGHT_OF_TRIALS))

    def fetch_trials(self, wanted: Callable[[str], bool]) -> None:
        """Copies those files of the trials at a URI whose name, below `trials/`, is wanted.

        What is as new here stays: a worker of this node may be writing it, and writes it back when it reports.
        """
        if (remote := self.remote) is None:
            return
        for name, written_ns in remote.times_ns("trials").items():
            path = self.path / "trials" / name
            if not wanted(name) or _is_as_new(path, written_ns):
                continue
            content = remote.read(f"trials/{name}") or b""
            if not _holds(path, content):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
            if written_ns:
                # By the clock of the store it is told apart from what is written there later.
                os.utime(path, ns=(written_ns, written_ns))

    @property
    def exists(self) -> bool:
        """Whether the name is taken. On a copy, `fetch` comes first."""
        return (self.path / LINKS).exists()

    def trial(self, number: int) -> Path:
        """Folder of a trial."""
        return self.path / "trials" / f"{number:04d}"

    def create(self, spec: Spec, links: Links) -> bool:
        """Writes document and links of a new search. Returns False if another driver has just taken the name."""
        import yaml

        self.path.mkdir(parents=True, exist_ok=True)
        document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            with whole_file(self.path / "spec.yaml") as part:
                part.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
                # Of two drivers that start at once, only one can write this file, and it gets the name. The document
                # appears afterwards, when the block ends, and only for that driver.
                links = replace(links, token=links.token or os.urandom(8).hex())
                write_new(self.path / LINKS, json.dumps(asdict(links), indent=2), mode=PRIVATE)
        except FileExistsError:
            return False
        if remote := self.remote:
            for name in ("spec.yaml", LINKS):
                remote.write(name, (self.path / name).read_bytes())
        return True

    def rewrite(self, spec: Spec) -> None:
        """Puts another document in the place of the search's, whose driver this is."""
        import yaml

        document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        write_whole(self.path / "spec.yaml", yaml.safe_dump(document, sort_keys=False))
        if remote := self.remote:
            remote.write("spec.yaml", (self.path / "spec.yaml").read_bytes())

    def abandon(self) -> None:
        """Makes the name free again. What lies in the folder stays until the next search replaces it."""
        (self.path / LINKS).unlink()

    def spec(self) -> Spec:
        """The resolved search document."""
        # Loaded here: a front is read without the document, whose models take as long to load as all else.
        import yaml

        from raysearch.spec.loading import parse_spec

        path = self.path / "spec.yaml"
        try:
            return parse_spec(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))
        except (FileNotFoundError, ValueError, yaml.YAMLError) as err:
            why = "no such file" if isinstance(err, FileNotFoundError) else "damaged"
            raise InputError(f"{path}: {why}; expected the document that the search was started with") from err

    def links(self) -> Links:
        """Where study and MLflow store are. Raises: InputError if there is no such search."""
        path = self.path / LINKS
        try:
            found = Links(**json.loads(path.read_text(encoding="utf-8")))
            if all(isinstance(value, str) for value in asdict(found).values()):
                return found
            raise TypeError("no addresses")
        except (ValueError, TypeError) as err:
            expected = 'the addresses of study and MLflow, such as {"study": "", "tracking": "sqlite:////S/mlflow.db"}'
            raise InputError(f"{path}: damaged; expected {expected}") from err
        except PermissionError as err:
            expected = "the user who began the search, or one who may read it: it may hold passwords"
            raise InputError(f"{path}: {err.strerror}; expected {expected}") from err
        except FileNotFoundError as err:
            known = ", ".join(self.searches()) or "none yet"
            near = did_you_mean(self.name, self.searches())
            raise InputError(f"{self.name}: no such search in {self.place}; expected one of: {known}{near}") from err

    @property
    def study_name(self) -> str:
        """Name of the study, which is that with which the search began. The folder may have been renamed since."""
        try:
            lines = (self.path / "spec.yaml").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return self.name
        # `create` wrote it, and reading all of the YAML for one line of it would take longer than to find the front.
        names = (line.removeprefix("name:").strip(" '\"") for line in lines if line.startswith("name:"))
        return next(names, self.name)

    @property
    def tracking(self) -> str:
        """Tracking URI of the MLflow that mirrors the search: by default a SQLite file beside the searches."""
        tracking, beside = self.links().tracking, self.root / MLFLOW_FILE
        # Earlier versions kept the whole path of that file. The storage may have been moved since.
        file = sqlite_file(tracking)
        gone = file is not None and file.name == MLFLOW_FILE and not file.parent.exists()
        return sqlite_url(beside) if gone or not tracking else tracking

    @property
    def artifacts(self) -> str:
        """URI below which MLflow keeps artifacts where its database is a file and no server does."""
        return (self.root / ARTIFACTS).as_uri()

    def study_storage(self) -> str:
        """Database URL of the study, or path of its journal."""
        return self.links().study or str(self.path / "study.journal")

    def curve(self, number: int) -> list[dict[str, Any]]:
        """Lines of a trial's curve. A line that is just being written is left out."""
        try:
            return _entries((self.trial(number) / CURVE_NAME).read_text())
        except FileNotFoundError:
            return []

    def shared_curve(self, digest: str) -> list[dict[str, Any]]:
        """Lines of the curve of a training that trials share. None is left of one that was removed from the store."""
        return _entries((self.store.trainings.read(digest, CURVE_NAME) or b"").decode())

    def evidence(self, number: int) -> Evidence:
        """The errors of a trial cut by cut, at the last rung at which it was judged. Empty if none were kept."""
        return read_evidence(self.trial(number) / EVIDENCE)

    def evidence_version(self, number: int) -> tuple[int, ...]:
        """Numbers that change when the file of these errors is written anew; none if there is no file."""
        try:
            found = (self.trial(number) / EVIDENCE).stat()
        except OSError:
            return ()
        # The clock of a disk may not tick between two writes, but each of them makes a new file.
        return found.st_mtime_ns, found.st_ino, found.st_size


def _is_as_new(path: Path, written_ns: int) -> bool:
    """Whether a file is here that was not written before that Unix time, in nanoseconds. Of 0 it is not known."""
    try:
        return 0 < written_ns <= path.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file begins with this content. More may have been added to it."""
    return path.exists() and path.read_bytes().startswith(content)


def _entries(text: str) -> list[dict[str, Any]]:
    lines = text.splitlines(keepends=True)
    return [entry for line in lines if line.endswith("\n") and (entry := _entry(line))]


def _entry(line: str) -> dict[str, Any] | None:
    """A line of a curve. None if it is damaged: the others are worth showing."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"step", "seconds", "metrics"} <= entry.keys() else None
