"""The documentation page, in a real browser."""

import json
import shutil
from urllib.parse import urlsplit

import pytest

from midigpt.server.openapi import document
from midigpt.server.openapi.examples import REQUESTS

pytestmark = pytest.mark.e2e

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GENERATE = "#operations-music-generate"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no Chromium (apt install chromium)")
    with playwright.sync_playwright() as driver:
        # as root, which tests in containers often are, Chromium refuses to start with its sandbox
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page, the requests that it sends, and what goes wrong on it."""

    def __init__(self, browser, url):
        self.page = browser.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector(".opblock", timeout=60_000)


@pytest.fixture
def visit(browser, server):
    visits = []

    def go(path):
        visits.append(Visit(browser, server.url + path))
        return visits[-1]

    yield go
    for visited in visits:
        visited.page.close()


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/"])
def test_the_page_shows_every_operation_and_asks_nobody_else(visit, server, path):
    visited = visit(path)
    assert visited.page.title() == "MIDI-GPT"
    operations = [method for path in document()["paths"].values() for method in path]
    assert visited.page.locator(".opblock:visible").count() == len(operations) - operations.count(
        "head"
    )
    assert visited.complaints == []
    assert {urlsplit(url).netloc for url in visited.requests} == {urlsplit(server.url).netloc}
    links = visited.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    assert {urlsplit(link).netloc for link in links} <= {urlsplit(server.url).netloc, ""}


def test_an_example_can_be_sent_as_it_is(visit):
    visited = visit("/docs")
    operation = visited.page.locator(GENERATE)
    operation.locator(".opblock-summary").first.click()
    operation.locator("textarea").wait_for()
    assert json.loads(operation.locator("textarea").input_value())["request"]["tracks"]
    operation.locator("button.execute").click()
    status = operation.locator(".live-responses-table tbody .response-col_status").first
    status.wait_for(timeout=60_000)
    assert status.inner_text().split()[0] == "200"
    answer = operation.locator(".live-responses-table .highlight-code").first.inner_text()
    assert '"status": "completed"' in answer
    assert visited.complaints == []


@pytest.mark.parametrize("example", REQUESTS.values(), ids=REQUESTS)
def test_every_example_works(client, example):
    answer = client.post("/generate", json=example["value"])
    assert answer.status_code == 200
    assert answer.json()["warnings"] == []
