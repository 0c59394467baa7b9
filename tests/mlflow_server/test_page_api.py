"""The page's API on a real server: what it answers, and what it refuses."""

import pytest
import requests

from raysearch.front.objective import COSTS
from tests.mlflow_server.filling import SCRIPT
from tests.mlflow_server.servers import Visitor

pytestmark = pytest.mark.mlflow


@pytest.fixture(scope="module")
def visitor(server):
    return Visitor(server)


@pytest.fixture(scope="module")
def search(visitor):
    return visitor.api(f"searches/{visitor.search('an4')['id']}")


def test_list_holds_each_search_once(visitor):
    names = [search["name"] for search in visitor.api("searches")["searches"]]
    assert [names.count(name) for name in ("an4", "other", SCRIPT)] == [1, 1, 1]
    an4 = visitor.search("an4")
    assert (an4["ended"], an4["front"], an4["status"], an4["objectives"]) == (5, 4, "finished", ["macs", "wer"])


def test_search_has_front_marks_intervals_and_settings(search):
    assert search["front"] == [0, 1, 2, 3]
    by_number = {trial["number"]: trial for trial in search["trials"]}
    assert by_number[4]["mark"] == "firmly dominated"
    assert by_number[0]["error"]["wer"] == {"value": 40.0, "low": 38.0, "high": 42.0, "test": None}
    assert by_number[0]["cost"] == dict(zip(COSTS, (40.0, 2.0, None, None), strict=True))
    assert by_number[1]["config"]["student.depth"] == 2
    assert search["knee"] in search["front"]


def test_search_that_compares_with_nothing_in_print_has_no_published_points(search):
    assert search["published"]["points"] == []


def test_compare_gives_both_searches_at_one_reference_point(visitor):
    ids = [visitor.search(name)["id"] for name in ("an4", "other")]
    rows = visitor.api(f"compare?search={ids[0]}&search={ids[1]}")["rows"]
    assert [row["name"] for row in rows] == ["an4", "other"]
    assert rows[0]["hypervolume"] > rows[1]["hypervolume"]


def test_all_of_mlflow_is_still_there(server):
    assert requests.get(server.url, timeout=240).status_code == 200
    assert requests.get(f"{server.url}/version", timeout=240).text
    assert requests.get(f"{server.url}/raysearch", timeout=240).url == server.page


def test_server_without_the_storage_says_so_before_the_click_and_after_it(visitor):
    search_id = visitor.search("an4")["id"]
    told = visitor.api(f"searches/{search_id}/registrations")
    assert told["jobs"] == []
    assert "no searches to register from; register it where it lies: raysearch pick an4" in told["reason"]
    answer = visitor.register(search_id, trial=0, model="m", alias="a")
    assert (answer.status_code, answer.json()["reason"]) == (400, told["reason"])


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"trial": 0, "model": "m' OR 1=1", "alias": "a"}, "model:"),
        ({"trial": 0, "model": "m", "alias": "<b>"}, "alias:"),
        ({"trial": 0, "model": "m"}, "alias: missing; expected a value"),
    ],
)
def test_wrong_candidate_is_refused_in_one_line(visitor, body, line):
    answer = visitor.register(visitor.search("an4")["id"], **body)
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith(line)
    assert "\n" not in answer.json()["reason"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-raysearch-token": ""},
        {"x-raysearch-token": "x" * 32},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": None},
        {"sec-fetch-site": None, "origin": "http://elsewhere.example"},
        {"sec-fetch-site": None, "origin": "null"},
    ],
)
def test_post_without_the_pages_token_or_from_another_site_is_refused(server, headers):
    visitor = Visitor(server)
    search_id = visitor.search("an4")["id"]
    visitor.headers.update(headers)
    assert visitor.register(search_id, trial=0, model="forged", alias="a").status_code == 403


def test_post_of_an_older_browser_that_says_its_origin_passes(server):
    visitor = Visitor(server)
    visitor.headers.update({"sec-fetch-site": None, "origin": server.url})
    search_id = visitor.search("an4")["id"]
    assert visitor.register(search_id, trial=99, model="none", alias="a").status_code == 400


def test_state_is_not_changed_by_get(visitor):
    path = f"{visitor.page}api/searches/{visitor.search('an4')['id']}/register?trial=0&model=m&alias=a"
    assert visitor.get(path, timeout=240).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "assets/../app.py",
        "assets/..%2Fapp.py",
        "assets/%2e%2e/%2e%2e/pyproject.toml",
        "assets//etc/passwd",
        "api/searches/..%2f..%2fx",
        "api/searches/' OR 1=1",
        "nothing",
    ],
)
def test_paths_that_lead_elsewhere_are_not_found(server, path):
    url = requests.Request("GET", server.page).prepare()
    url.url = server.page + path  # requests would tidy the dots away
    assert requests.Session().send(url, timeout=240).status_code == 404


def test_oversized_requests_are_refused(visitor):
    search_id = visitor.search("an4")["id"]
    assert visitor.register(search_id, trial=0, model="m" * 5000, alias="a").status_code == 413
    assert visitor.get(f"{visitor.page}api/compare?search={'a' * 5000}", timeout=240).status_code == 414


def test_unknown_search_is_not_found(visitor):
    answer = visitor.get(f"{visitor.page}api/searches/{'0' * 32}", timeout=240)
    assert answer.status_code == 404


def test_page_may_load_nothing_from_elsewhere(visitor):
    policy = visitor.home.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy + visitor.home.text


def test_foreign_host_header_is_refused(server):
    assert requests.get(server.page, headers={"host": "evil.example"}, timeout=240).status_code == 403
