"""What only a real server over real sockets can show."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import bentoml
import pytest

pytestmark = pytest.mark.e2e

SCORE = {
    "tracks": [
        {
            "bars": [
                {"notes": [{"pitch": 60, "velocity": 90, "onset_ticks": 0, "duration_ticks": 480}]}
                for _ in range(4)
            ]
        }
    ]
}
BARS = 300


def short(seed=7, **members):
    config = {"seed": seed, "density_hard_limit": 3}
    request = {"tracks": [{"id": 0, "bars": [1, 2]}], "config": config}
    return {"score": SCORE, "request": request, **members}


def long(**members):
    """A request that keeps the model busy for longer than any test waits."""
    request = {"tracks": [{"id": 0, "bars": list(range(BARS))}]}
    return {"score": {"tracks": [{"bars": [{}] * BARS}]}, "request": request, **members}


def inflight(client):
    return int(client.get("/health").headers["x-inflight"])


def until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.02)


@pytest.fixture
def asking(server):
    """Sends requests to generate side by side; those left at the end are cancelled."""
    ids = []

    def ask(body):
        with server.client() as client:
            return client.post("/generate", json=body)

    with ThreadPoolExecutor(20) as threads, server.client() as client:

        def submit(body):
            before = inflight(client)
            body.setdefault("request_id", f"request-{len(ids)}-{time.monotonic_ns()}")
            ids.append(body["request_id"])
            answer = threads.submit(ask, body)
            until(lambda: answer.done() or inflight(client) > before)
            return answer

        yield submit
        for id_ in ids:
            client.post(f"/generate/{id_}/cancel")
    until(lambda: inflight_of(server) == 0)


def inflight_of(server):
    with server.client() as client:
        return inflight(client)


@contextmanager
def generated_client(server):
    """BentoML's own client, whose methods are made from what the server says it has."""
    with bentoml.SyncHTTPClient(server.url, timeout=60) as client:
        yield client
    client._temp_dir.cleanup()  # which closing it leaves to the garbage collector


def test_generated_clients(server, checkpoint):
    with generated_client(server) as client:
        assert client.health() == {"status": "ok"}
        info = client.info()
        assert (info["model"], info["checkpoint"]) == ("tiny", str(checkpoint))
        assert info["capabilities"]["model_dim_options"] == [4, 8]
        answer = client.generate(**short())
    assert answer["status"] == "completed"
    assert answer["generated_bars"] == {"0": [1, 2]}
    assert answer["score"]["tracks"][0]["bars"][1]["notes"]


def test_generated_clients_are_told_what_is_wrong(server):
    refused = pytest.raises(bentoml.exceptions.BentoMLException)
    with generated_client(server) as client, refused as caught:
        client.generate(score={}, request=short()["request"])
    assert json.loads(str(caught.value))["code"] == "invalid_request"


def test_results_are_the_same_alone_and_side_by_side(client, asking):
    def score(answer):
        assert answer.status_code == 200
        return answer.json()["score"]

    alone = [score(client.post("/generate", json=short(seed))) for seed in range(4)]
    together = [asking(short(seed)) for seed in range(4)]
    assert [score(answer.result(30)) for answer in together] == alone


def test_requests_have_their_turn_in_the_order_they_came(client, asking):
    asked = [asking(long(request_id=name)) for name in "abc"]
    for place, name in enumerate("abc"):
        time.sleep(0.3)
        assert not any(answer.done() for answer in asked[place:])
        client.post(f"/generate/{name}/cancel")
        # one that had been waiting until now would have no score at all
        assert asked[place].result(5).json()["score"] is not None
        assert inflight(client) == 2 - place


def test_health_and_info_answer_while_a_generation_runs(client, asking):
    asking(long())
    seconds = []
    for _ in range(40):
        for path in ("/health", "/info"):
            began = time.monotonic()
            assert client.get(path).status_code == 200
            seconds.append(time.monotonic() - began)
        time.sleep(0.02)
    assert inflight(client) == 1
    assert sorted(seconds)[int(0.95 * len(seconds))] < 0.1
    assert max(seconds) < 0.5


def test_health_answers_while_large_scores_are_prepared(server, client):
    bars = [{"notes": SCORE["tracks"][0]["bars"][0]["notes"] * 4}] * 64
    body = {
        "score": {"tracks": [{"bars": bars}] * 60},
        "request": {
            "tracks": [{"id": i, "bars": [0] if i == 0 else []} for i in range(60)],
            "config": {"plan_only": True},
        },
    }
    done = threading.Event()

    def plan():
        with server.client() as other:
            assert other.post("/generate", json=body).status_code == 200
        done.set()

    with ThreadPoolExecutor(1) as threads:
        planning = threads.submit(plan)
        seconds = []
        while not done.is_set() and not planning.done():
            began = time.monotonic()
            client.get("/health")
            seconds.append(time.monotonic() - began)
            time.sleep(0.02)
        planning.result()
    assert len(seconds) > 3
    assert max(seconds) < 0.25


def crowded():
    """A plan for a prompt that is too long, so that the model itself is asked what to leave out."""
    track = {"bars": SCORE["tracks"][0]["bars"]}
    prompts = [{"id": i, "bars": [] if i else [1]} for i in range(6)]
    config = {"plan_only": True, "budget_margin": 1000}
    return {"score": {"tracks": [track] * 6}, "request": {"tracks": prompts, "config": config}}


def test_planning_does_not_disturb_a_running_generation(client, asking):
    body = long()
    body["request"] = {"tracks": [{"id": 0, "bars": list(range(10))}], "config": {"seed": 7}}
    alone = asking(dict(body)).result(60).json()["score"]
    beside = asking(dict(body))
    while not beside.done():
        planned = client.post("/generate", json=crowded())
        assert planned.json()["dropped_context"] == [1, 2, 3, 4, 5]
    assert beside.result().json()["score"] == alone


def test_a_running_generation_is_cancelled(client, asking):
    answer = asking(long(request_id="mine"))
    time.sleep(0.3)
    began = time.monotonic()
    cancelled = client.post("/generate/mine/cancel")
    assert cancelled.json() == {"request_id": "mine", "status": "cancelling"}
    content = answer.result(5).json()
    assert time.monotonic() - began < 0.25
    assert (content["status"], content["cancel_reason"]) == ("cancelled", "client")
    assert len(content["score"]["tracks"][0]["bars"]) == BARS
    assert content["timing"]["gen_count"] > 0
    assert client.post("/generate/mine/cancel").status_code == 404


def test_a_waiting_generation_is_cancelled(client, asking):
    asking(long())
    answer = asking(long(request_id="mine"))
    assert client.post("/generate/mine/cancel").status_code == 200
    content = answer.result(0.25).json()
    assert (content["status"], content["score"]) == ("cancelled", None)
    assert inflight(client) == 1


def leave_after(server, body, seconds=0.3):
    """Send a request and close the connection without waiting for the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + content)
        time.sleep(seconds)
        with server.client() as client:
            return inflight(client)


def test_a_client_that_leaves_frees_the_model(server, client):
    assert leave_after(server, long()) == 1
    until(lambda: inflight(client) == 0, 2)


def test_a_waiting_client_that_leaves_frees_its_place(server, client, asking):
    asking(long())
    for _ in range(3):
        assert leave_after(server, short()) == 2
        until(lambda: inflight(client) == 1, 2)


def test_an_id_in_use_is_refused(client, asking):
    asking(long(request_id="mine"))
    again = client.post("/generate", json=short(request_id="mine"))
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_request_id")


def test_errors_do_not_send_the_body_back(client):
    answer = client.post("/generate", json={"score": {"x": "y" * 5_000_000}})
    assert (answer.status_code, answer.json()["detail"]) == (400, "request is missing")
