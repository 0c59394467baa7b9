"""Folders behind a URI, such as `s3://BUCKET/PATH`.

The library pyarrow opens `s3://`, `gs://`, `abfs://` and `hdfs://`; fsspec opens all others. Both take credentials and
endpoints from the environment, in the variables that each service uses (`AWS_ENDPOINT_URL`, ...).

An object appears whole or not at all, but a folder of objects does not: whoever needs a whole folder writes a marker
last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import AwayError, InputError
from raysearch.files.disk import full_disk
from raysearch.files.gzipped import unpacked
from raysearch.files.secrets import masked
from raysearch.files.whole import PART

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PACKED = b"\x1f\x8b"
"""The bytes with which what gzip has packed begins."""
DATABASES = ("postgresql", "mysql", "sqlite", "mssql", "oracle", "redis")
"""Schemes of URLs that name the database of a study, not a folder."""


def is_remote(storage: str | None) -> bool:
    """Whether `storage` is a URI of files, not a local folder and not a database URL."""
    scheme, separator, _ = (storage or "").partition("://")
    # A database URL may name its driver after a plus: postgresql+psycopg2.
    return bool(separator) and scheme.partition("+")[0] not in DATABASES


class Remote:
    """A folder at a URI. Names of what lies below it are paths with slashes, from that folder.

    Every function raises AwayError if the store does not answer, or lets nobody in.
    """

    def __init__(self, uri: str) -> None:
        """Opens the folder. Raises: InputError if neither library knows such a URI."""
        # Loaded here, since most searches lie in a folder: verbs that read one start in two thirds of the time.
        from pyarrow import ArrowException
        from pyarrow.fs import FileSystem

        self.uri = uri.rstrip("/")
        try:
            with self._asked():  # the region of a bucket may be looked for
                self._files, self._root = FileSystem.from_uri(self.uri)
        except (ArrowException, ValueError) as err:
            self._files, self._root = _by_fsspec(self.uri, err)

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if there is no such file."""
        try:
            # By itself, pyarrow unpacks what is called `.gz`, and packs it when it is written.
            with self._asked(), self._files.open_input_stream(self._path(name), compression=None) as file:
                content: bytes = file.read()
        except FileNotFoundError:
            return None
        return _packed_once(content) if name.endswith(".gz") else content

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, and the folders above it where they are needed."""
        path = self._path(name)
        with self._asked():
            try:
                stream = self._files.open_output_stream(path, compression=None)
            # A file system needs the folder first; an object store has none, so it is tried last.
            except FileNotFoundError:
                self._files.create_dir(path.rpartition("/")[0], recursive=True)
                stream = self._files.open_output_stream(path, compression=None)
            with stream as file:
                file.write(content)

    def files(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file below a folder, by its name from there."""
        return {name: info.size for name, info in self._below(folder)}

    def times_ns(self, folder: str) -> dict[str, int]:
        """Unix time in nanoseconds at which each file below a folder was written, by its name from there.

        It is 0 where the store does not tell.
        """
        return {name: info.mtime_ns or 0 for name, info in self._below(folder)}

    def push(self, local: Path, folder: str, skip: tuple[str, ...] = ()) -> None:
        """Makes the remote folder equal to the local one, except for names in `skip` at its top.

        A remote file that has the same size and is as new stays as it is.
        """
        there = {name: (info.size, info.mtime_ns or 0) for name, info in self._below(folder)}
        here = {str(path.relative_to(local)): path for path in sorted(local.rglob("*")) if path.is_file()}
        for name, path in here.items():
            if Path(name).parts[0] in skip or name.endswith(PART):
                continue
            stat = path.stat()
            size, written_ns = there.get(name, (-1, 0))
            if size != stat.st_size or written_ns < stat.st_mtime_ns:
                self.write(f"{folder}/{name}", path.read_bytes())
        for name in there.keys() - here.keys():
            self._delete(f"{folder}/{name}")

    def pull(self, folder: str, local: Path) -> bool:
        """Copies a remote folder over the local one. Returns False if there is no such folder."""
        found = self.files(folder)
        for name in found:
            path = local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(f"{folder}/{name}") or b"")
        return bool(found)

    def delete(self, folder: str) -> None:
        """Deletes all files below a folder."""
        for name in self.files(folder):
            self._delete(f"{folder}/{name}")

    def _delete(self, name: str) -> None:
        with self._asked():
            self._files.delete_file(self._path(name))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Within it the store is asked for something, and what pyarrow says of its failures becomes an AwayError."""
        try:
            yield
        except OSError as err:
            # Callers make sense of these two as they are.
            if isinstance(err, FileNotFoundError) or full_disk(err):
                raise
            raise AwayError(f"{masked(self.uri)}: {masked(err)}; what it holds is safe") from err

    def _below(self, folder: str) -> Iterator[tuple[str, Any]]:
        from pyarrow.fs import FileSelector, FileType

        path = self._path(folder).rstrip("/")
        selector = FileSelector(path, recursive=True, allow_not_found=True)
        with self._asked():
            found = self._files.get_file_info(selector)
        for info in found:
            if info.type == FileType.File:
                yield info.path.removeprefix(f"{path}/"), info

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _packed_once(content: bytes) -> bytes:
    """The content of a file called `.gz`. Earlier versions packed it a second time, and such files are still read."""
    try:
        begins = zlib.decompressobj(wbits=31).decompress(content, len(PACKED))
        return unpacked(content) if begins == PACKED else content
    except (OSError, EOFError, ValueError, zlib.error):
        # It was not packed, or is damaged, of which whoever asked for it knows more.
        return content


def _by_fsspec(uri: str, cause: Exception) -> tuple[FileSystem, str]:
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        files, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as err:
        raise InputError(
            f"{masked(uri)}: {masked(err)}; expected a folder or a URI that pyarrow or fsspec knows"
        ) from cause
    return PyFileSystem(FSSpecHandler(files)), root.rstrip("/")
