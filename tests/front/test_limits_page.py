"""The page of three objectives in a browser. Without Chromium these tests fail: they are all that moves a limit."""

import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from raysearch.front.plots import draw_html
from tests.front.made_up_trials import search_of_three

pytestmark = pytest.mark.browser
LINE = "document.getElementById('chart').data.find((trace) => trace.meta === 'line')"


@pytest.fixture
def page(tmp_path):
    draw_html(search_of_three(40), tmp_path / "front.html")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        said = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"file://{tmp_path}/front.html")
        page.wait_for_selector("#chart .plotly")
        yield page
        browser.close()
        assert said == []


def limit(page, key, step):
    page.locator(f"#limit-{key}").evaluate(
        "(input, step) => { input.value = step; input.dispatchEvent(new Event('input')); }", step
    )


def test_any_two_are_on_the_axes(page):
    assert page.locator("#axes option").all_inner_texts() == ["MACs G and WER %", "MACs G and EER %", "WER % and EER %"]
    page.select_option("#axes", "2")
    assert page.evaluate("document.getElementById('chart').layout.xaxis.title.text").startswith("WER %")


def test_line_is_drawn_anew_through_what_is_within_the_limits(page):
    made = search_of_three(40)
    complete = [trial for trial in made.trials if trial.state == "complete"]
    assert page.inner_text("#count") == f"{len(complete)} of {len(complete)} complete trials are within the limits."
    limit(page, "eer", 60)
    bound = float(re.search(r"EER %: at most ([\d.]+)", page.inner_text("form"))[1])
    # The page shows four digits of the limit.
    within = [trial for trial in complete if trial.metrics["eval/eer"] <= bound * 1.0005]
    assert 0 < len(within) < len(complete)
    assert page.inner_text("#count").startswith(f"{len(within)} of {len(complete)} ")
    points = sorted((trial.cost.macs_g, trial.metrics["eval/wer"]) for trial in within)
    steps = [p for at, p in enumerate(points) if all(p[1] < other[1] for other in points[:at])]
    assert list(zip(page.evaluate(f"{LINE}.x"), page.evaluate(f"{LINE}.y"), strict=True)) == steps
