"""What happens when several things happen: the recorded scenarios, on real servers.

Each test has the name of its scenario and checks what is written there about our server. Limits of
time are those of the contract.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.contract.vectors import load, needs_vectors
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

SEED_CURL = {
    "score": {
        "resolution": 480,
        "tempo": 500000,
        "tracks": [
            {
                "instrument": 0,
                "track_type": "melodic",
                "bars": [{"ts_numerator": 4, "ts_denominator": 4, "notes": []}] * 4,
            }
        ],
    },
    "request": {"tracks": [{"id": 0, "bars": [0, 1, 2, 3]}], "config": {"model_dim": 4}},
}


@needs_vectors
def test_every_scenario_has_a_test():
    names = [f"test_{scenario['name']}" for scenario in load("http/scenarios.json")["scenarios"]]
    assert len(names) == len(TESTS) - 1
    assert set(names) <= set(TESTS)


def with_flags(*flags):
    """Give a test a server with these flags."""
    return pytest.mark.parametrize("flags", [flags], ids=" ".join)


def music(seed, **config):
    """A request that is answered after some tenths of a second."""
    config = {"seed": seed, "density_hard_limit": 4, **config}
    return configured(long(bars=8), **config)


def score(response):
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == "completed"
    return answer["score"]


@pytest.fixture(scope="module")
def stalled(start):
    """A request of whose body next to nothing comes: what it is answered, and after how long.

    It is sent before the first test, because its answer is looked at after the last.
    """
    url, began = start().url, time.monotonic()

    def ended(connection):
        answer = connection.recv(10_000)
        return answer, time.monotonic() - began

    with sent(url, b"{", length=1000) as connection, ThreadPoolExecutor(1) as threads:
        connection.settimeout(90)
        yield threads.submit(ended, connection)


@pytest.mark.usefixtures("stalled")
def test_health_while_generating(client, asking):
    asking(long())
    seconds = polled(client, "/health", times=60, pause=0.05)
    assert inflight(client) == 1
    assert quantile(seconds, 0.95) < 0.1
    assert max(seconds) < 0.5


def test_seed_curl_40_times(client):
    for _ in range(40):
        answer = client.post("/generate", json=SEED_CURL)
        assert answer.status_code == 200, answer.text
        bars = answer.json()["score"]["tracks"][0]["bars"]
        assert len(bars) == 4
        assert all(bar["notes"] for bar in bars)


def test_eight_parallel(client, asking):
    alone = [score(client.post("/generate", json=music(seed))) for seed in range(8)]
    ended = []
    asking(long(request_id="first"))
    together = [asking(music(seed)) for seed in range(8)]
    for seed, answer in enumerate(together):
        answer.add_done_callback(lambda _, seed=seed: ended.append(seed))
    assert inflight(client) == 9
    client.post("/generate/first/cancel")
    assert [score(answer.result(60)) for answer in together] == alone
    assert ended == list(range(8))


def test_same_seed_alone_and_in_parallel(client):
    alone = [score(client.post("/generate", json=music(seed))) for seed in range(4)]
    assert len({json.dumps(one) for one in alone}) == 4
    with ThreadPoolExecutor(4) as threads:
        ask = partial(client.post, "/generate")
        together = threads.map(lambda seed: score(ask(json=music(seed))), range(4))
    assert list(together) == alone


def test_cancel_running(client, asking):
    answer = asking(long(request_id="mine"))
    time.sleep(1)
    began = time.monotonic()
    cancelled = client.post("/generate/mine/cancel")
    again = client.post("/generate/mine/cancel")
    content = answer.result(5).json()
    assert time.monotonic() - began < 0.25
    assert cancelled.status_code == 200
    assert cancelled.json() == {"request_id": "mine", "status": "cancelling"}
    assert again.status_code in {200, 404}
    assert client.post("/generate/mine/cancel").status_code == 404
    assert answer.result().status_code == 200
    assert (content["status"], content["cancel_reason"]) == ("cancelled", "client")
    assert content["timing"]["gen_count"] > 0
    (track,) = content["score"]["tracks"]
    assert track["bars"][0]["notes"]
    assert not track["bars"][-1]["notes"]


def test_cancel_queued(client, asking):
    first = asking(long())
    answer = asking(long(request_id="mine"))
    began = time.monotonic()
    assert client.post("/generate/mine/cancel").status_code == 200
    content = answer.result(5).json()
    assert time.monotonic() - began < 0.25
    assert (content["status"], content["score"]) == ("cancelled", None)
    assert content["timing"]["gen_count"] == 0
    assert inflight(client) == 1
    assert not first.done()


def test_duplicate_request_id(client, asking):
    first = asking(long(request_id="mine"))
    second = client.post("/generate", json=short(request_id="mine"))
    assert (second.status_code, second.json()["code"]) == (409, "duplicate_request_id")
    assert client.post("/generate/mine/cancel").status_code == 200
    assert first.result(5).json()["status"] == "cancelled"


def leaves(server, client, body, *, others=0, after=0.3):
    """A client that asks and leaves while its request is in flight."""
    with sent(server.url, body):
        until(lambda: inflight(client) == others + 1)
        time.sleep(after)
    until(lambda: inflight(client) == others, 2)


def test_client_leaves_plain(server, client):
    leaves(server, client, long(), after=1)


def test_client_leaves_stream(server, client):
    leaves(server, client, long(stream=True), after=1)


def test_client_leaves_queued_plain(server, client, asking):
    first = asking(long())
    leaves(server, client, short(), others=1)
    assert not first.done()


def test_client_leaves_queued_stream(server, client, asking):
    first = asking(long())
    for _ in range(3):
        leaves(server, client, short(request_id="gone", stream=True), others=1)
        assert client.post("/generate/gone/cancel").status_code == 404
    assert not first.done()


def test_error_echoes_body(client):
    answer = client.post("/generate", json={"score": {"x": "y" * 5_000_000}})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "request is missing"
    assert "yy" not in answer.text


@with_flags("--max-queue", "2")
def test_queue_full(client, asking):
    admitted = [asking(long()), asking(long())]
    began = time.monotonic()
    for _ in range(4):
        refused = client.post("/generate", json=short())
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert isinstance(refused.json()["detail"], str)
    assert time.monotonic() - began < 4 * 0.25
    for path in ("/health", "/info", "/models", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200
    assert not any(answer.done() for answer in admitted)


@with_flags("--max-queue", "2")
def test_queue_full_and_cheap_requests(client, asking):
    for _ in range(2):
        asking(long())
    planned = client.post("/generate", json=configured(short(), plan_only=True))
    assert (planned.status_code, planned.json()["status"]) == (200, "planned")
    assert client.post("/generate", json=short(model=5)).status_code == 400
    assert client.post("/generate", json=configured(short(), top_p=2)).status_code == 422
    assert client.post("/generate", json=short(model="ghost")).status_code == 400


@with_flags("--max-queue", "2")
def test_leaked_slots_shrink_the_queue(server, client, asking):
    asking(long(request_id="first"))
    for _ in range(2):
        leaves(server, client, short(stream=True), others=1)
    client.post("/generate/first/cancel")
    until(lambda: inflight(client) == 0)
    both = [asking(music(seed)) for seed in range(2)]
    assert [answer.result(30).status_code for answer in both] == [200, 200]


@with_flags("--max-generation-seconds", "1")
def test_max_generation_seconds(client, asking):
    plain = client.post("/generate", json=long()).json()
    assert (plain["status"], plain["cancel_reason"]) == ("cancelled", "time_limit")
    assert plain["score"] is not None
    *_, last = told(client, long())
    assert last["type"] == "cancelled"
    assert last["response"]["cancel_reason"] == "time_limit"
    four = client.post("/generate", json=configured(long(), num_candidates=4)).json()
    assert (four["status"], four["cancel_reason"]) == ("cancelled", "time_limit")
    assert len(four["candidates"]) == four["summary"]["cancelled"] == 4
    began = time.monotonic()
    for place, answer in enumerate([asking(long()), asking(long())]):
        content = answer.result(10).json()
        seconds = time.monotonic() - began
        assert content["cancel_reason"] == "time_limit"
        assert content["timing"]["gen_count"] > 0
        assert place + 0.9 < seconds < 1.5 * (place + 1)


LARGE = {
    "200 tracks": crowded(tracks=200, bars=4, notes=1),
    "2000 bars": crowded(tracks=1, bars=2000, notes=2),
    "5000 notes in context": crowded(tracks=10, bars=10, notes=50),
    "60 tracks, 64 bars": crowded(tracks=60, bars=64, notes=4),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_preparation_blocks_server(server, client, body):
    seconds = []
    with ThreadPoolExecutor(1) as threads, server.client() as other:
        planning = threads.submit(other.post, "/generate", json=configured(body, plan_only=True))
        while not planning.done():
            seconds += polled(client, "/health", times=1, pause=0.02)
    assert planning.result().status_code == 200
    assert max(seconds) < 0.25


def refused_at_once(client, **note):
    """A note that no score can hold is refused, the first time as well as later."""
    body = short()
    body["score"] = json.loads(json.dumps(body["score"]))
    body["score"]["tracks"][0]["bars"][0]["notes"][0].update(note)
    began = time.monotonic()
    for _ in range(5):
        assert client.post("/generate", json=body).status_code == 422
    assert time.monotonic() - began < 5 * 0.1


def test_one_note_freezes_server_onset_ticks(client):
    refused_at_once(client, onset_ticks=2147483648)


def test_one_note_freezes_server_duration_ticks(client):
    refused_at_once(client, duration_ticks=2147483648)


@with_flags("--idle-timeout", "2")
def test_idle_timeout_during_generation(server, client):
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.post, "/generate", json=long(request_id="mine"))
        time.sleep(4)
        assert not answer.done()
        with server.client() as other:
            other.post("/generate/mine/cancel")
        assert answer.result(5).status_code == 200
    answered = time.monotonic()
    assert server.process.wait(10) == 0
    assert time.monotonic() - answered > 1.9


@with_flags("--max-parallel", "4")
def test_max_parallel_mixed_windows(client):
    bodies = [music(seed, model_dim=4 + seed % 2 * 4) for seed in range(6)]

    def ask(body):
        return score(client.post("/generate", json=body))

    alone = [ask(body) for body in bodies]
    assert [ask(body) for body in bodies] == alone
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(ask, bodies)) == alone


def test_body_stalls(stalled, client):
    assert inflight(client) == 0
    answer, seconds = stalled.result()
    assert not answer or answer.startswith(b"HTTP/1.1 408 ")
    assert seconds < 61


TESTS = [name for name in globals() if name.startswith("test_")]
