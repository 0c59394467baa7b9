"""The page in a real browser, on a real server. Without Chromium these tests fail: they are all that sees the page."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.mlflow_server.filling import SCRIPT

pytestmark = [pytest.mark.browser, pytest.mark.mlflow]

POINTS = "#chart .scatterlayer .point:visible"
"""Those that stand for trials: a line of the legend may have a hidden one."""


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=["light"])
def page(request, browser, server):
    """The page on the search `an4`; at the end, nothing may have failed in it or left the server."""
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)
    page = context.new_page()
    asked, faults = [], []
    page.on("request", lambda sent: asked.append(sent.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(server.page)
    page.wait_for_selector("#searches input")
    choose(page, "an4")
    yield page
    assert faults == []
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)
    context.close()


def choose(page, *names):
    """Ticks these searches and no other."""
    for item in page.locator("#searches li").all():
        item.locator("input").set_checked(item.locator("strong").text_content() in names)
    page.wait_for_function("n => document.querySelectorAll('#front table').length === n", arg=len(names))
    page.wait_for_selector(POINTS)


def test_front_is_drawn_with_knee_and_table(page):
    assert page.locator("#front tbody tr").count() == 4
    assert "knee" in page.locator("#front").text_content()
    legend = page.locator("#chart .legend").text_content()
    assert all(word in legend for word in ("front", "dicehubert", "distilhubert", "knee", "firmly dominated"))


def test_hover_shows_trial_settings_and_interval(page):
    box = page.locator("#chart .scatterlayer .trace:has(.errorbar) .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    text = page.locator("#chart .hoverlayer").text_content()
    assert "trial" in text
    assert "95 %" in text
    assert "student.depth" in text


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_slider_hides_points_by_keyboard_alone(page):
    before = page.locator(POINTS).count()
    page.locator("#limit-macs").focus()
    page.keyboard.press("Home")
    assert page.locator(POINTS).count() < before
    assert "over the limits" in page.locator("#hidden").text_content()
    assert page.locator("#limit-macs").get_attribute("aria-valuetext").startswith("at most")
    page.keyboard.press("End")
    assert page.locator(POINTS).count() == before


def test_two_searches_are_compared(page):
    choose(page, "an4", "other")
    page.wait_for_selector("#compare pre")
    assert "on joint front" in page.locator("#compare").text_content()
    assert page.locator("#chart .legend").text_content().count("front of") == 2


def test_difference_of_two_trials(page):
    for index in (0, 2):
        page.locator("#front input").nth(index).click()
    text = page.locator("#difference").text_content()
    assert "student.depth" in text
    assert "-4.00" in text


def test_register_button_is_off_and_says_why_where_the_storage_is_elsewhere(page):
    button = page.locator("#front button").nth(0)
    assert button.is_disabled()
    assert "raysearch pick an4" in page.locator("#registering").text_content()
    assert button.get_attribute("title") in page.locator("#registering").text_content()


def test_markup_in_names_and_settings_stays_text(page):
    choose(page, SCRIPT)
    page.locator("#front input").nth(0).click()
    box = page.locator(POINTS).last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.title() == "raysearch: fronts"
    assert SCRIPT in page.locator("#front caption").text_content()
    assert page.locator("main img, main script, #chart img").count() == 0
