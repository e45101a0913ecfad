"""Servers with small limits, and servers of several models."""

import json
import time

import httpx
import psutil
import pytest
import yaml

from tests.e2e.asking import inflight, long, sent, short, until
from tests.e2e.servers import served

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """Two models, of which one writes two pieces at a time; little room for anything."""
    home = tmp_path_factory.mktemp("limits")
    models = [
        {"id": "one", "ckpt": str(checkpoint)},
        {"id": "two", "ckpt": str(checkpoint), "max_parallel": 2},
    ]
    settings = {"models": models, "max_queue": 4, "max_body_bytes": 2**22}
    (home / "models.yaml").write_text(yaml.safe_dump(settings))
    with served(home, "--config", str(home / "models.yaml")) as server:
        yield server


def test_models_do_not_wait_for_each_other(client, asking):
    asking(long(model="one"))
    waiting = asking(short(model="one"))
    assert client.post("/generate", json=short(model="two")).json()["model"] == "two"
    assert not waiting.done()


def test_a_model_writes_as_many_pieces_at_a_time_as_it_may(client, asking):
    asking(long(model="two"))
    assert client.post("/generate", json=short(model="two")).status_code == 200
    asking(long(model="two", request_id="mine"))
    waiting = asking(short(model="two"))
    time.sleep(0.3)
    assert not waiting.done()
    client.post("/generate/mine/cancel")
    assert waiting.result(5).json()["status"] == "completed"


def test_all_models_have_one_queue(client, asking):
    for model in ("one", "two", "two", "two"):
        asking(long(model=model))
    refused = client.post("/generate", json=short(model="one"))
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert client.get("/health?verbose=1").json()["max_queue"] == 4


def test_an_id_belongs_to_one_request_whatever_the_model(client, asking):
    asking(long(model="one", request_id="mine"))
    assert client.post("/generate", json=short(model="two", request_id="mine")).status_code == 409


def test_a_stream_takes_room_too_and_is_refused_like_any_other(client, asking):
    for _ in range(4):
        asking(long(stream=True))
    refused = client.post("/generate", json=short(stream=True, request_id="fifth"))
    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers["x-request-id"] == "fifth"


def test_a_place_that_is_given_back_can_be_taken(server, client, asking):
    """As often as one likes: places are neither lost nor given back twice."""
    asking(long(model="one"))
    for _ in range(10):
        with sent(server.url, short(model="one", stream=True)):
            until(lambda: inflight(client) == 2)
        until(lambda: inflight(client) == 1, 2)
    for _ in range(3):
        asking(long(model="one"))
    assert inflight(client) == 4
    assert client.post("/generate", json=short()).status_code == 503


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(server, chunked):
    body = b" " * 5_000_000
    content = iter([body[:3_000_000], body[3_000_000:]]) if chunked else body
    refused = httpx.post(f"{server.url}/generate", content=content)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_a_body_over_the_limit_is_not_waited_for(server):
    with sent(server.url, b"", length=5_000_000) as connection:
        assert connection.recv(16) == b"HTTP/1.1 413 Req"


@pytest.mark.parametrize("filler", ["[]", "{}", '""', "null", "0"])
def test_memory_does_not_grow_with_what_was_sent(server, client, filler):
    """Megabytes become tens of them when they are read; afterwards they are free again."""
    body = {**short(), "filler": []}
    content = json.dumps(body).replace("[]", f"[{','.join([filler] * 150_000)}]")
    assert client.post("/generate", content=content).status_code == 200
    before = psutil.Process(server.process.pid).memory_info().rss
    for _ in range(3):
        assert client.post("/generate", content=content).status_code == 200
    after = psutil.Process(server.process.pid).memory_info().rss
    assert after < 1.1 * before
