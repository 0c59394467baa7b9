"""Folders behind a URI: `s3://`, `gs://`, `abfs://`, `hdfs://` by pyarrow, all others by fsspec. Credentials and
endpoints come from the environment (`AWS_ENDPOINT_URL`, ...), as each service has it.

An object appears whole or not at all, but a folder of them does not: who needs a whole folder writes a marker last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType, FSSpecHandler, PyFileSystem

from raysearch.errors import InputError
from raysearch.files.whole import PART

DATABASES = ("postgresql", "mysql", "sqlite", "mssql", "oracle", "redis")
"""Schemes that name a study's database, not a folder."""


def is_remote(storage: str | None) -> bool:
    """Whether `storage` is a URI of files."""
    scheme, separator, _ = (storage or "").partition("://")
    return bool(separator) and scheme.partition("+")[0] not in DATABASES


class Remote:
    """A folder at a URI; names below it have slashes."""

    def __init__(self, uri: str) -> None:
        """Raises: InputError if nothing here knows such a URI."""
        self.uri = uri.rstrip("/")
        try:
            self._files, self._root = FileSystem.from_uri(self.uri)
        except (ArrowException, ValueError) as err:
            self._files, self._root = _by_fsspec(self.uri, err)

    def read(self, name: str) -> bytes | None:
        """Of a file; None if there is none."""
        try:
            with self._files.open_input_stream(self._path(name)) as file:
                content: bytes = file.read()
                return content
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        try:
            stream = self._files.open_output_stream(path)
        except FileNotFoundError:  # object stores have no folders to make
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            stream = self._files.open_output_stream(path)
        with stream as file:
            file.write(content)

    def files(self, folder: str) -> dict[str, int]:
        """Bytes of each file below a folder, by its name from there."""
        return {name: info.size for name, info in self._below(folder)}

    def times_s(self, folder: str) -> dict[str, float]:
        """When each file below a folder was written, in Unix time."""
        return {name: (info.mtime_ns or 0) / 1e9 for name, info in self._below(folder)}

    def push(self, local: Path, folder: str, skip: tuple[str, ...] = ()) -> None:
        """Makes a folder there equal to the local one; what there is in the same size and as new stays."""
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
            self._files.delete_file(self._path(f"{folder}/{name}"))

    def pull(self, folder: str, local: Path) -> bool:
        """Copies a folder from there over the local one; False if there is none."""
        found = self.files(folder)
        for name in found:
            path = local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(f"{folder}/{name}") or b"")
        return bool(found)

    def delete(self, folder: str) -> None:
        for name in self.files(folder):
            self._files.delete_file(self._path(f"{folder}/{name}"))

    def _below(self, folder: str) -> Iterator[tuple[str, Any]]:
        path = self._path(folder).rstrip("/")
        selector = FileSelector(path, recursive=True, allow_not_found=True)
        for info in self._files.get_file_info(selector):
            if info.type == FileType.File:
                yield info.path.removeprefix(f"{path}/"), info

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _by_fsspec(uri: str, cause: Exception) -> tuple[FileSystem, str]:
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as err:
        raise InputError(f"{uri}: {err}; expected a folder or a URI that pyarrow or fsspec knows") from cause
    return PyFileSystem(FSSpecHandler(files)), root.rstrip("/")
