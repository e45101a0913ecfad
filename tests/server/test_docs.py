import base64
import hashlib
import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from midigpt.server import docs
from midigpt.server.openapi import document


@pytest.fixture
def client():
    return TestClient(Starlette(routes=docs.routes))


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_page_loads_only_what_comes_with_the_server(client, path):
    page = client.get(path)
    assert "<title>MIDI-GPT</title>" in page.text
    loaded = re.findall(r'(?:src|href|url)(?:=|: )"([^"]*)"', page.text)
    assert set(loaded) == {
        "data:,",
        "static_content/swagger-ui.css",
        "static_content/swagger-ui-bundle.js",
        "openapi.json",
    }


def test_its_own_script_is_the_only_one_in_it_that_browsers_run(client):
    page = client.get("/docs")
    [script] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(
        directive.split(maxsplit=1)
        for directive in page.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs.json"])
def test_the_document_is_served_to_programs(client, path):
    answer = client.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()
