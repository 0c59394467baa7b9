"""What goes along with a job: the files that Ray itself would pack."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from ray._private.runtime_env.packaging import create_package

from raysearch.cluster.submission import check_dashboard, package_lines, packed
from raysearch.errors import InputError


def tree(root: Path) -> Path:
    for name, size in {"a.py": 10, "big/b.bin": 3_000_000, "big/c.log": 7, "data/d.wav": 9, "deep/e/f.tmp": 5}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)
    (root / ".rayignore").write_text("data\n")
    (root / "big/.gitignore").write_text("*.log\n")
    return root


def test_packed_files_are_those_that_ray_packs(tmp_path: Path) -> None:
    import zipfile

    files = packed(tree(tmp_path / "here"))
    create_package(str(tmp_path / "here"), tmp_path / "package.zip", include_gitignore=True)
    theirs = {info.filename for info in zipfile.ZipFile(tmp_path / "package.zip").infolist() if not info.is_dir()}
    assert files.keys() == theirs
    assert {"a.py", "big/b.bin", "deep/e/f.tmp"} <= files.keys()


def test_lines_tell_the_sum_and_the_largest_first(tmp_path: Path) -> None:
    lines = package_lines(packed(tree(tmp_path)))
    assert lines[0].startswith("package: 3.0 MB in 5 files")
    assert lines[1].split() == ["3.00", "MB", "big/b.bin"]
    assert len(lines) == 1 + 5


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://alice:s3cret@127.0.0.1:9", "no address"])
def test_job_for_a_cluster_that_does_not_answer_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(InputError, match="no Ray dashboard answers") as refused:
        check_dashboard(address)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_dashboard_that_asks_for_a_token_is_there() -> None:
    class Asks(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Asks) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        check_dashboard(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
