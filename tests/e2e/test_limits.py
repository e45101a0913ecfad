"""Servers with small limits."""

import httpx
import pytest

from tests.e2e.servers import served
from tests.e2e.test_server import asking, long, short  # noqa: F401 - a fixture

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    flags = ["--ckpt", str(checkpoint), "--max-queue", "2", "--max-body-bytes", "20000"]
    with served(tmp_path_factory.mktemp("limits"), *flags) as server:
        yield server


def test_a_full_queue(client, asking):  # noqa: F811 - the fixture
    waiting = [asking(long(request_id=name)) for name in ("one", "two")]
    refused = client.post("/generate", json=short(request_id="three"))
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-request-id"] == "three"
    planned = short()
    planned["request"]["config"]["plan_only"] = True
    assert client.post("/generate", json=planned).json()["status"] == "planned"
    assert client.post("/generate", json=short(model=5)).status_code == 400
    assert client.get("/info").status_code == 200
    assert not any(answer.done() for answer in waiting)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(server, chunked):
    body = b" " * 30_000
    content = iter([body[:15_000], body[15_000:]]) if chunked else body
    refused = httpx.post(f"{server.url}/generate", content=content)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
