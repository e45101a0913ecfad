"""What only a real server over real sockets can show.

What happens when clients leave, cancel or come in numbers: ``tests/contract/test_scenarios.py``.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest

from tests.e2e.asking import (
    configured,
    crowded,
    inflight,
    long,
    polled,
    quantile,
    sent,
    short,
    told,
    until,
)

pytestmark = pytest.mark.e2e


def test_requests_have_their_turn_in_the_order_they_came(client, asking):
    asked = [asking(long(request_id=name)) for name in "abc"]
    for place, name in enumerate("abc"):
        time.sleep(0.3)
        assert not any(answer.done() for answer in asked[place:])
        client.post(f"/generate/{name}/cancel")
        # one that had been waiting until now would have no score at all
        assert asked[place].result(5).json()["score"] is not None
        assert inflight(client) == 2 - place


@pytest.mark.parametrize("path", ["/info", "/models", "/openapi.json", "/docs", "/readyz"])
def test_others_are_answered_while_music_is_written(path, client, asking):
    asking(long())
    seconds = polled(client, path, times=20, pause=0.02)
    assert inflight(client) == 1
    assert quantile(seconds, 0.95) < 0.1
    assert max(seconds) < 0.5


def test_health_answers_while_music_is_written_and_large_scores_are_prepared(
    server, client, asking
):
    large = configured(crowded(tracks=20, bars=100, notes=10), plan_only=True)
    asking(long())
    done, prepared = threading.Event(), []

    def prepare():
        with server.client() as other:
            while not done.is_set():
                prepared.append(other.post("/generate", json=large).status_code)

    with ThreadPoolExecutor(1) as threads:
        preparing = threads.submit(prepare)
        seconds = polled(client, "/health", times=100, pause=0.02)
        done.set()
    preparing.result()
    assert set(prepared) == {200}
    assert inflight(client) == 1
    assert quantile(seconds, 0.95) < 0.1
    assert max(seconds) < 0.5


def test_small_answers_are_not_held_back(client):
    """They are as soon as the network has not been told to wait for more, which is 40 ms."""
    assert median(polled(client, "/health", times=60, pause=0)) < 0.03


def too_long():
    """A plan for a prompt that is too long, so that the model itself is asked what to leave out."""
    track = short()["score"]["tracks"][0]
    prompts = [{"id": i, "bars": [] if i else [1]} for i in range(6)]
    config = {"plan_only": True, "budget_margin": 1000}
    return {"score": {"tracks": [track] * 6}, "request": {"tracks": prompts, "config": config}}


def test_planning_does_not_disturb_a_running_generation(client, asking):
    body = configured(long(bars=6))
    alone = asking(dict(body)).result(60).json()["score"]
    beside = asking(dict(body))
    while not beside.done():
        planned = client.post("/generate", json=too_long())
        assert planned.json()["dropped_context"] == [1, 2, 3, 4, 5]
    assert beside.result().json()["score"] == alone


def test_a_seed_that_the_server_chose_gives_the_same_again(client):
    chosen = client.post("/generate", json=configured(short(), seed=-1)).json()
    again = client.post("/generate", json=configured(short(), seed=chosen["seed"])).json()
    assert again["score"] == chosen["score"]
    other = client.post("/generate", json=configured(short(), seed=None)).json()
    assert other["seed"] != chosen["seed"]


def test_an_id_is_free_as_soon_as_its_answer_is_there(client):
    for _ in range(10):
        assert client.post("/generate", json=short(request_id="mine")).status_code == 200
        assert told(client, short(request_id="mine"))[-1]["type"] == "done"


def test_what_is_ignored_is_named(client):
    body = configured(short(colour="red"), temprature=0.5)
    warnings = client.post("/generate", json=body).json()["warnings"]
    assert any("colour" in warning for warning in warnings)
    assert any("request.config.temprature" in warning for warning in warnings)


def test_a_body_that_comes_in_pieces(server):
    content = json.dumps(short()).encode()
    with sent(server.url, content[:100], length=len(content)) as connection:
        for begin in range(100, len(content), 97):
            connection.sendall(content[begin : begin + 97])
            time.sleep(0.005)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_that_waits_to_be_asked_for(server):
    """As curl does it with long ones."""
    content = json.dumps(short()).encode()
    head = {"Expect": "100-continue"}
    with sent(server.url, b"", length=len(content), headers=head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(content)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_whose_client_leaves_before_its_end(server, client):
    for _ in range(5):
        with sent(server.url, b'{"score"', length=1000):
            pass
    assert client.post("/generate", json=short()).status_code == 200
    until(lambda: inflight(client) == 0)
    assert "Traceback" not in server.log.read_text()
