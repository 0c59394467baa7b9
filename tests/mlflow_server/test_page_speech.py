"""A real search on the page: its errors with their recordings, and students to whom one talks in the browser."""

import shutil

import pytest
import requests
from playwright.sync_api import sync_playwright

from raysearch.deploy.runtime.transcribe import OnnxModel, read_audio
from raysearch.search.reading import read_state
from raysearch.tracking.mirror import Mirror
from tests.deploy.conftest import TONES_HZ, search  # noqa: F401
from tests.mlflow_server.servers import Server, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.mlflow]

PHONES = {f"T{tone}" for tone in range(len(TONES_HZ))}


@pytest.fixture(scope="module")
def speech(search, tmp_path_factory):  # noqa: F811
    """A server that can read the search's folder, and the search with its id."""
    server = Server(tmp_path_factory.mktemp("speech"), env={"RAYSEARCH_STORAGE": str(search.root)}).start()
    Mirror(server.url).sync(read_state(search))
    yield server, search, Visitor(server).search(search.name)["id"]
    server.kill()


@pytest.fixture
def page(request, speech):
    """The page in a browser whose microphone plays a recording of dev, or in one that is not given any microphone."""
    server, folder, _ = speech
    asked, faults = [], []
    flags = ["--no-sandbox"]
    if getattr(request, "param", "microphone") == "microphone":
        flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        flags += [f"--use-file-for-fake-audio-capture={folder.root / 'dev0.wav'}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        page.on("request", lambda sent: asked.append(sent.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        if getattr(request, "param", "") == "no wasm":
            page.add_init_script("delete window.WebAssembly")
        page.goto(server.page)
        page.wait_for_selector("#trials tbody tr")
        yield page
        browser.close()
    assert faults == []
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)


def test_errors_of_two_trials_stand_side_by_side_worst_first(page, speech):
    server, _, search_id = speech
    for box in page.locator("#trials tbody input").all():
        box.click()
    page.wait_for_selector("#errors article .read:nth-of-type(3)")
    first = page.locator("#errors article").first
    assert set(first.locator("p").first.text_content().split()) <= PHONES | {"said"}
    # Said is what was read, but for what is marked as inserted, with what is marked as deleted.
    kept = first.locator(".read").first.evaluate(
        "p => [...p.childNodes].slice(2).filter(n => n.nodeName !== 'INS').map(n => n.textContent).join(' ')"
    )
    assert kept.split() == first.locator("p").first.text_content().split()[1:]
    rows = requests.get(
        f"{server.page}api/searches/{search_id}/errors?trial=0&trial=1&error=eval/per", timeout=60
    ).json()
    worst = max(max(row["errors"]) for row in rows["rows"])
    assert str(worst) in first.locator("header").text_content()
    with page.expect_response(lambda answer: "/recording" in answer.url) as played:
        first.locator("button").click()
    assert played.value.status in (200, 206)


def test_student_reads_what_the_microphone_hears_and_what_a_file_says(page, speech):
    _, folder, _ = speech
    page.keyboard.press("r")
    page.get_by_text("Listening, for up to 30 s").wait_for()
    page.wait_for_timeout(1500)
    page.keyboard.press("r")
    page.wait_for_selector("#talk-read article")
    assert set(page.locator("#talk-read p").text_content().split()) <= PHONES
    assert "real-time factor 0." in page.locator("#talk-read header").text_content()
    # The browser reads a file as onnxruntime does outside of it.
    page.evaluate("document.getElementById('talk-read').replaceChildren()")
    page.locator("#talk-file").set_input_files(folder.root / "dev1.wav")
    page.wait_for_selector("#talk-read article")
    (model,) = folder.path.glob("exports/*/model.onnx")
    expected = OnnxModel(model).read(read_audio(folder.root / "dev1.wav"))
    assert page.locator("#talk-read p").text_content().split() == expected


@pytest.mark.parametrize("page", ["no microphone"], indirect=True)
def test_microphone_that_is_refused_is_said_in_one_line(page):
    page.locator("#talk-speak").click()
    page.get_by_text("drop a").last.wait_for()
    assert page.locator("#talk-status.bad").text_content().count(".") == 1


@pytest.mark.parametrize("page", ["no wasm"], indirect=True)
def test_browser_without_webassembly_is_said_in_one_line(page, speech):
    page.locator("#talk-file").set_input_files(speech[1].root / "dev1.wav")
    page.get_by_text("This browser runs no WebAssembly, which students need.").wait_for()


def test_student_that_is_too_big_is_said_in_one_line(page, speech):
    big = {"ready": True, "megabytes": 380, "version": 1, "layout": {"unit": "phones"}}
    page.route("**/model", lambda route: route.fulfill(json=big))
    page.locator("#talk-file").set_input_files(speech[1].root / "dev1.wav")
    page.get_by_text("has 380 MB; a browser takes up to 250 MB.").wait_for()
