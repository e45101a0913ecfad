"""Streams as they come over the wire."""

import json
import time
from collections import Counter

import httpx
import pytest

from tests.e2e.asking import NOTES, configured, inflight, long, sent, short, told, until

pytestmark = pytest.mark.e2e

MUSIC = long(bars=5)


def remixed(seed, amount, novelty):
    """A request to change a bar a little, where that little may not be enough."""
    prompt = {"id": 0, "bars": [1], "controls": {"remix": {"amount": amount}}}
    config = {"seed": seed, "max_attempts": 3, "novelty_threshold": novelty}
    return {
        "score": {"tracks": [{"bars": [{"notes": NOTES}] * 4}]},
        "request": {"tracks": [prompt], "config": config},
    }


def received(connection):
    """Everything that comes on a connection until the answer is complete."""
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        piece = connection.recv(65536)
        assert piece, data[-300:]
        data += piece
    return data


def body_of(data):
    """The body of a chunked answer, and the sizes of its chunks."""
    body, rest = b"", data.partition(b"\r\n\r\n")[2]
    sizes = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        sizes.append(int(size, 16))
        body, rest = body + rest[: sizes[-1]], rest[sizes[-1] + 2 :]
    return body, sizes


def test_the_bytes_of_a_stream(server):
    with sent(server.url, short(stream=True, request_id="mine")) as connection:
        data = received(connection)
    body, sizes = body_of(data)
    head = data.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert head[0] == b"http/1.1 200 ok"
    assert {
        b"content-type: text/event-stream; charset=utf-8",
        b"cache-control: no-cache",
        b"x-accel-buffering: no",
        b"x-request-id: mine",
    } <= set(head)
    assert b"\r" not in body
    *parts, rest = body.decode().split("\n\n")
    assert rest == ""
    for part in parts:
        assert part.startswith("data: {")
        assert "\n" not in part
    # each is sent by itself
    assert sizes == [len(part) + 2 for part in parts] + [0]


def notes_of(score, bars):
    """The notes of some bars of the first track, as a stream would tell them."""
    return [
        {"track": 0, "bar": bar, **note}
        for bar in bars
        for note in score["tracks"][0]["bars"][bar]["notes"]
    ]


def as_set(notes):
    """Notes in any order. Velocities are left out: a note to which the model gave none has one that
    is put on the model's grid by the steps that follow."""
    return Counter(json.dumps({**note, "velocity": 0}, sort_keys=True) for note in notes)


def test_the_end_is_what_would_have_been_answered_without_a_stream(client):
    plain = client.post("/generate", json=MUSIC).json()
    *_, last = told(client, MUSIC)
    assert last["type"] == "done"
    streamed = last["response"]
    assert streamed["score"] == plain["score"]
    assert streamed.keys() == plain.keys()
    timed = {"request_id", "timing", "tokens", "queue_s"}
    assert all(streamed[name] == plain[name] for name in plain.keys() - timed)


def test_all_notes_are_told_before_the_end_and_no_others(client):
    *before, last = told(client, MUSIC)
    notes = [note for frame in before if frame["type"] == "notes" for note in frame["notes"]]
    assert as_set(notes) == as_set(notes_of(last["response"]["score"], range(5)))
    # steps are told to their ends, one after the other
    assert [note["bar"] for note in notes] == sorted(note["bar"] for note in notes)


def test_it_goes_on_all_the_time(client):
    *before, last = told(client, MUSIC)
    assert {frame["type"] for frame in before} == {"notes", "progress"}
    tokens = [frame["progress"]["generated_tokens"] for frame in before]
    assert tokens == sorted(tokens)
    steps = zip([0, *tokens], tokens, strict=False)
    assert max(after - before for before, after in steps) <= 64
    assert tokens[-1] <= last["response"]["timing"]["gen_count"]
    progress = before[-1]["progress"]
    assert progress["max_context_tokens"] == 2048
    assert progress["step_generated_tokens"] < progress["generated_tokens"]


def test_frames_arrive_while_it_is_written(client):
    arrived = []
    with client.stream("POST", "/generate", json={**long(), "stream": True}) as response:
        for line in response.iter_lines():
            if line:
                arrived.append(time.monotonic())
            if len(arrived) == 20:
                break
    until(lambda: inflight(client) == 0, 2)
    assert arrived[-1] - arrived[0] > 0.05


def test_whoever_waits_is_told_so_at_once(client, asking):
    asking(long(request_id="first"))
    began = time.monotonic()
    body = short(request_id="second", stream=True)
    with client.stream("POST", "/generate", json=body) as response:
        lines = response.iter_lines()
        queued = json.loads(next(lines).removeprefix("data: "))
        assert time.monotonic() - began < 1
        assert queued == {"type": "queued", "request_id": "second", "position": 1}
        with httpx.Client(base_url=client.base_url) as other:
            other.post("/generate/first/cancel")
        types = [json.loads(line[6:])["type"] for line in lines if line]
    assert types[-1] == "done"
    assert "queued" not in types


def test_a_step_that_starts_over_says_so(client):
    body = remixed(seed=7, amount=0.01, novelty=0.01)
    *before, last = told(client, body)
    retries = [frame for frame in before if frame["type"] == "retry"]
    assert [frame["attempt"] for frame in retries] == [2, 3]
    assert all(frame["bars"] == {"0": [1]} for frame in retries)
    plain = client.post("/generate", json=body)
    assert plain.status_code == 500
    assert last == {
        "type": "error",
        "request_id": last["request_id"],
        "error": plain.json()["detail"],
        "detail": plain.json()["detail"],
        "code": "inference_failed",
        "status": 500,
    }
    assert "novelty_check 3x" in last["detail"]


def test_notes_that_are_not_void_are_those_of_the_score(client):
    for seed in range(40):
        *before, last = told(client, remixed(seed, amount=0.6, novelty=0.3))
        starts_over = [frame["type"] for frame in before].count("retry")
        if starts_over and last["type"] == "done":
            break
    else:
        raise AssertionError("no attempt was rejected")
    void = max(i for i, frame in enumerate(before) if frame["type"] == "retry")
    assert before[void]["bars"] == {"0": [1]}
    kept = [note for frame in before[void:] for note in frame.get("notes", [])]
    assert as_set(kept) == as_set(notes_of(last["response"]["score"], [1]))


@pytest.mark.parametrize("waiting", [False, True])
def test_a_cancelled_stream_ends_with_what_there_is(waiting, client, asking):
    if waiting:
        asking(long())
    before = []
    body = long(request_id="mine", stream=True)
    with client.stream("POST", "/generate", json=body) as response:
        lines = (line for line in response.iter_lines() if line)
        before.append(next(lines))
        with httpx.Client(base_url=client.base_url) as other:
            assert other.post("/generate/mine/cancel").status_code == 200
        last = json.loads([*before, *lines][-1].removeprefix("data: "))
    assert last["type"] == last["response"]["status"] == "cancelled"
    assert last["response"]["cancel_reason"] == "client"
    assert (last["response"]["score"] is None) == waiting


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (short(stream="yes"), 400),
        (short(model="ghost"), 400),
        (configured(short(), num_candidates=2), 400),
        (configured(short(), top_p=2), 422),
    ],
)
def test_what_is_refused_is_not_streamed(body, status, client):
    answer = client.post("/generate", json={"stream": True, **body})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json()["detail"], str)


def test_an_id_in_use_is_not_streamed(client, asking):
    asking(long(request_id="mine"))
    assert client.post("/generate", json=short(request_id="mine", stream=True)).status_code == 409


def test_a_plan_is_not_streamed(client):
    planned = client.post("/generate", json=configured(short(stream=True), plan_only=True))
    assert planned.headers["content-type"] == "application/json"
    assert planned.json()["status"] == "planned"


def test_a_connection_goes_on_after_a_stream(server):
    """The end of a stream is the end of an answer, not of the connection."""
    with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(3):
            assert told(client, short())[-1]["type"] == "done"
            assert client.get("/health").status_code == 200


def test_a_client_that_does_not_read_keeps_nobody_waiting(server, client):
    with sent(server.url, {**MUSIC, "stream": True}):
        until(lambda: inflight(client) == 1)
        assert client.post("/generate", json=short()).json()["status"] == "completed"
        assert inflight(client) == 0
