"""Notices as a server hears them, and what happens when there is none."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from raysearch.errors import InputError, WorkError
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.search.watching.notices import Notices, Reporter, noticing
from raysearch.spec.notices import VARIABLE, NoticeSettings, check_notices
from tests.search.made_up import ABOUT, TEACHER, error_of, spec_with

SECRET = "s3cret"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """What a server hears, whose address is in the environment."""
    taken: list[dict[str, str]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(VARIABLE, f"json://user:{SECRET}@127.0.0.1:{server.server_port}/")
    yield taken
    server.shutdown()
    server.server_close()


def test_search_tells_what_happens_to_it(heard: list[dict[str, str]], journal: str) -> None:
    spec = spec_with(notices={})
    study = Study.create(journal, spec.name, spec.objectives, ABOUT)
    searcher = Searcher(spec, study, TEACHER, trials=3, say=lambda _: None)
    first, second = searcher.suggest(), searcher.suggest()
    assert first is not None
    assert second is not None
    with suppress(WorkError), noticing(spec, print) as notices:
        reporter = Reporter(spec, study, notices)
        searcher.complete(first.number, 100, {"eval/per": error_of(first.config)})
        searcher.fail(second.number, "nan", "training diverged before update 50")
        for number in (first.number, second.number):
            reporter.heard("end", number)
        raise WorkError("the disk is full")
    assert [one["title"] for one in heard] == ["raysearch tiny"] * 4
    told = [one["message"] for one in heard]
    assert told[0] == "started: dicehubert on 1 lane"
    assert told[1].startswith("front: trial 0 made it grow; hypervolume ")
    assert told[2] == "failed: trial 1 (nan): training diverged before update 50"
    assert told[3] == "stopped: the disk is full"
    assert SECRET not in json.dumps(study.about) + spec.model_dump_json()


def test_only_what_is_wanted_is_told(heard: list[dict[str, str]]) -> None:
    with noticing(spec_with(notices={"of": ["ended"]}), print) as notices:
        notices.tell("front", "it grew")
        notices.tell("ended", "front 3")
    assert [one["message"] for one in heard] == ["ended: front 3"]


def test_notifier_that_is_dead_or_raises_is_said_once_and_without_its_address() -> None:
    def dead(title: str, text: str) -> bool:
        raise OSError(f"json://user:{SECRET}@gone")

    said: list[str] = []
    notices = Notices(NoticeSettings(), "tiny", said.append, dead)
    for _ in range(3):
        notices.tell("front", "it grew")
    notices.close()
    assert said == [f"notices: one was not taken by every address in {VARIABLE}"]


def test_notifier_that_hangs_holds_up_nobody() -> None:
    hangs = threading.Event()
    notices = Notices(NoticeSettings(), "tiny", print, lambda title, text: hangs.wait())
    for _ in range(5_000):
        notices.tell("front", "it grew")
    assert notices._thread.is_alive()
    notices.close(wait_s=0.0)
    hangs.set()


def test_addresses_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_notices(None)
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(InputError, match=f"notices.variables: {VARIABLE} is empty; expected addresses in it"):
        check_notices(NoticeSettings())
    monkeypatch.setenv(VARIABLE, "json://here")
    monkeypatch.setattr("raysearch.spec.notices.find_spec", lambda name: None)
    with pytest.raises(InputError, match="notices: apprise is not installed; expected: pip install"):
        check_notices(NoticeSettings())


def test_notices_are_no_part_of_what_is_asked() -> None:
    assert spec_with(notices={}).digest == spec_with().digest
