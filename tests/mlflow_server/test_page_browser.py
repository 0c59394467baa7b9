"""The page in a real browser, on a real server. Without Chromium these tests fail: they are all that sees the page."""

import shutil

import pytest
from mlflow import MlflowClient
from playwright.sync_api import sync_playwright

from raysearch.tracking.mirror import Mirror
from tests.mlflow_server.filling import SCRIPT, trials
from tests.tracking.made_up_states import record, state

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
    shown = "() => [...document.querySelectorAll('#front caption')].map((caption) => caption.textContent).sort().join()"
    page.wait_for_function(f"names => ({shown})() === names", arg=",".join(sorted(names)))
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


def rows(page):
    """Numbers of the trials in the table of all, in the order shown."""
    return [int(text) for text in page.locator("#trials tbody th").all_text_contents()]


def test_all_trials_sort_and_filter(page):
    choose(page, "mixed")
    assert rows(page) == list(range(7))
    page.locator("#trials button", has_text="MACs G").click()
    page.locator("#trials button", has_text="MACs G").click()
    # What has no cost comes last, whichever way the table is sorted.
    assert rows(page) == [6, 5, 4, 2, 1, 0, 3]
    assert page.locator("#trials th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.locator("#trials-kind").select_option("failed")
    assert rows(page) == [3, 4][::-1]
    assert "oom: out of memory at update 70" in page.locator("#trials tbody").text_content()
    page.locator("#trials-kind").select_option("all")
    page.locator("#trials-text").fill("memory")
    assert rows(page) == [4]


def test_number_of_a_trial_leads_to_its_run(page, server):
    page.locator("#trials tbody th a").nth(1).click()
    page.wait_for_url("**/#/experiments/*/runs/*")
    run = MlflowClient(server.url).get_run(page.url.rpartition("/")[2])
    assert run.data.tags["raysearch.trial"] == "1"


def test_chart_has_the_teachers_line_numbers_shapes_and_bars_on_demand(page):
    choose(page, "mixed")
    assert page.locator("#chart .shapelayer path").count() == 1
    numbers = page.locator("#chart .textpoint text").all_text_contents()
    assert sorted(filter(None, numbers)) == ["0", "1", "2"]
    assert page.locator("#chart .errorbar").count() == 3
    page.locator("#bars").uncheck()
    page.wait_for_function("() => !document.querySelector('#chart .errorbar')")
    choose(page, "an4")
    symbols = page.evaluate("() => document.getElementById('chart').data.flatMap((d) => d.marker?.symbol ?? [])")
    assert {"circle", "square"} <= set(symbols)


def test_legend_is_below_and_a_swipe_scrolls_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(server.page)
    page.wait_for_selector(POINTS)
    legend, plot = page.locator("#chart .legend").bounding_box(), page.locator("#chart .nsewdrag").bounding_box()
    assert legend["y"] > plot["y"] + plot["height"]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
    page.locator("#chart").scroll_into_view_if_needed()
    plot, before = page.locator("#chart .nsewdrag").bounding_box(), page.evaluate("scrollY")
    touch = context.new_cdp_session(page)
    middle = {"x": plot["x"] + plot["width"] / 2, "y": plot["y"] + plot["height"] / 2}
    touch.send("Input.synthesizeScrollGesture", {**middle, "yDistance": -200})
    page.wait_for_function("before => scrollY > before + 100", arg=before)
    context.close()


def test_wheel_over_the_chart_scrolls_the_page(page):
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => scrollY > 100")


def test_running_search_grows_and_says_that_it_was_interrupted(page, server):
    mirror = Mirror(server.url)
    made = trials(4)
    mirror.sync(state([*made[:2], record(2, "running")], "growing"))
    page.reload()
    page.wait_for_selector("#searches input")
    choose(page, "growing")
    page.get_by_text("running: 2 trials have ended").wait_for()
    assert page.locator("#trials tr.running").count() == 1
    mirror.sync(state([*made[:4], record(4, "running")], "growing", abandoned="interrupted"))
    page.get_by_text("interrupted after 4 trials; go on with: raysearch resume growing").wait_for()
    assert page.locator("#front tbody tr").count() == 4
    assert "interrupted" in page.locator("#trials tbody tr").last.text_content()


def test_curves_of_picked_trials(page):
    for index in (0, 1):
        page.locator("#trials tbody input").nth(index).click()
    page.wait_for_selector("#curves .scatterlayer .trace:nth-of-type(2)")
    data = "() => document.querySelector('#curves .chart').data.map((trace) => [trace.name, trace.y.length])"
    assert page.evaluate(data) == [["trial 0", 10], ["trial 1", 10]]
    page.locator("#curves select").select_option("train/lr")
    page.wait_for_function("() => document.querySelector('#curves .chart').data[0].y[0] === 0.001")


def test_settings_have_importances_slices_and_lines_that_can_be_kept(page):
    page.locator("#settings summary").click()
    page.wait_for_selector("#slices .point")
    bars = page.evaluate("() => document.getElementById('importances').data.map((bar) => [bar.name, bar.x])")
    assert bars == [["WER %", [0.9, 0.1]]]
    depth = page.evaluate(
        "() => Object.values(document.getElementById('slices').layout).find((a) => a?.title?.text === 'depth')"
    )
    assert depth["ticktext"] == ["1", "2", "3", "4", "5"]
    page.locator("#coordinates").scroll_into_view_if_needed()
    box = page.locator("#coordinates").bounding_box()
    page.wait_for_function("() => document.getElementById('coordinates-kept').textContent === '5 of 5 trials'")
    # The lower half of the last axis, the error: one trial has 80 %, four have at most 40 %.
    page.mouse.move(box["x"] + box["width"] - 56, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 56, box["y"] + box["height"] - 5, steps=3)
    page.mouse.up()
    assert page.locator("#coordinates-kept").text_content() == "4 of 5 trials"
