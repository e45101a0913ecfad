import asyncio
import json
import threading

import pytest
from starlette.datastructures import Headers

from midigpt.server import intake
from midigpt.server.errors import ApiError
from midigpt.server.intake import Intake, check_headers, read_members
from tests.server.fakes import BODY


def refusal(limit=100, **headers):
    with pytest.raises(ApiError) as caught:
        check_headers(
            Headers({name.replace("_", "-"): value for name, value in headers.items()}), limit
        )
    return caught.value.status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "Application/JSON ; charset=utf-8"},
        {"content-type": "application/vnd.midi-gpt.1+json"},
        {"content-encoding": "Identity"},
        {"content-length": "100"},
    ],
)
def test_json_is_let_in(headers):
    check_headers(Headers(headers), 100)


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "",
        ";",
        "application/jsonx",
        "text/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/vnd.bentoml+pickle",
    ],
)
def test_other_media_types_are_not(media):
    assert refusal(content_type=media) == 415


def test_compressed_and_long_bodies_are_not():
    assert refusal(content_encoding="gzip") == 415
    assert refusal(content_length="101") == 413


class App:
    """Behind the middleware: what it saw of each request."""

    def __init__(self):
        self.states, self.bodies = [], []

    async def __call__(self, scope, receive, _send):
        self.states.append(scope.get("state"))
        if scope["path"] not in {"/generate", "/generate_stream"}:
            self.bodies.append((await receive())["body"])


def call(chunks, *, path="/generate", method="POST", limit=10_000, headers=(), pause=0.0):
    """Send a body in chunks, None for nothing more: the app, and the status and body answered."""
    sent, app = [], App()
    messages = iter(chunks)

    async def receive():
        chunk = next(messages)
        if isinstance(chunk, dict):
            return chunk
        await asyncio.sleep(60 if chunk is None else pause)
        return {"type": "http.request", "body": chunk, "more_body": chunk is not chunks[-1]}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(Intake(app, limit)(scope, receive, send))
    if not sent:
        return app, None, None
    return app, sent[0], json.loads(sent[1]["body"])


def test_a_body_is_read_and_checked_before_the_app_is_called():
    text = json.dumps({**BODY, "x": 1}).encode()
    app, answer, _ = call([text[:10], text[10:]])
    [state] = app.states
    assert state["body"].request.tracks[0].bars == [0]
    assert not state["body"].stream
    assert ["x" in warning for warning in state["ignored"]] == [True]
    assert answer is None


@pytest.mark.parametrize("stream", [{}, {"stream": False}])
def test_generate_stream_always_streams(stream):
    app, _, _ = call([json.dumps({**BODY, **stream}).encode()], path="/generate_stream")
    assert app.states[0]["body"].stream is True


@pytest.mark.parametrize(
    ("path", "method"),
    [("/generate", "GET"), ("/health", "POST"), ("/generate/x/cancel", "POST")],
)
def test_other_requests_pass_untouched(path, method):
    headers = [(b"content-type", b"application/vnd.bentoml+pickle")]
    app, answer, _ = call([b"{"], path=path, method=method, headers=headers)
    assert (app.states, answer) == ([None], None)
    assert app.bodies == ([] if path == "/generate" else [b"{"])


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_a_malformed_body_is_answered_here(path):
    app, answer, error = call([b"{"], path=path)
    assert (app.states, answer["status"], error["code"]) == ([], 400, "malformed")


def test_a_body_without_a_length_is_read_up_to_the_limit():
    app, answer, error = call([b"x" * 60, b"y" * 60, b"z" * 60], limit=100)
    assert (app.states, answer["status"]) == ([], 413)
    assert error["detail"] == "the body is longer than 100 bytes"


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(intake, "_PATIENCE_S", 0.05)
    app, answer, error = call([b"{", None])
    assert (app.states, answer["status"], error["code"]) == ([], 408, "timeout")
    assert (b"connection", b"close") in answer["headers"]


def test_nor_is_one_that_arrives_bit_by_bit(monkeypatch):
    monkeypatch.setattr(intake, "_PATIENCE_S", 0.1)
    _, answer, _ = call([b" "] * 1000 + [b"x"], pause=0.01)
    assert answer["status"] == 408


def test_a_client_that_leaves_before_its_body_is_complete():
    app, answer, error = call([b"{", {"type": "http.disconnect"}])
    assert (app.states, answer["status"], error["code"]) == ([], 499, "client_gone")


@pytest.mark.parametrize("path", ["/generate\n", "/api/info\n", "/x\x1b[31m"])
def test_there_are_no_control_characters_in_addresses(path):
    app, answer, error = call([b"{}"], path=path)
    assert (app.states, answer["status"], error["code"]) == ([], 404, "not_found")


def test_the_other_apis_get_a_body_they_cannot_fail_on():
    app, _, _ = call([b' {"model"', b':"m", "x": null}'], path="/api/info")
    assert app.bodies == [b'{"model": "m"}']
    assert call([b""], path="/api/health")[0].bodies == [b"{}"]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/api/info", b"{", "the body is not JSON from line 1, column 2 on"),
        ("/api/info", b"[]", "the body must be an object, got a list"),
        ("/api/info", b'{"model": 5}', "model must be a string, got a number"),
        ("/api/info", b'{"%s": []}' % (b"x" * 99), f'"{"x" * 36}... must be a string, got a list'),
        ("/api/info", b'{"y\\u0000": []}', '"y\\u0000" must be a string, got a list'),
        ("/api/cancel", b"{}", "request_id is missing"),
        ("/api/cancel", b'{"request_id": null}', "request_id is missing"),
    ],
)
def test_wrong_members_of_the_other_apis(path, body, detail):
    with pytest.raises(ApiError) as caught:
        read_members(body, path)
    assert (caught.value.status, caught.value.code) == (400, "malformed")
    assert caught.value.detail == detail


def test_the_bodies_of_the_other_apis_are_short_and_json():
    assert call([b" " * 70_000], path="/api/health", limit=10**6)[1]["status"] == 413
    pickled = [(b"content-type", b"application/vnd.bentoml+pickle")]
    assert call([b"{}"], path="/api/health", headers=pickled)[1]["status"] == 415


def test_short_bodies_do_not_wait_for_long_ones(monkeypatch):
    """While a long body is parsed, one after the other, a short one is parsed beside it."""
    monkeypatch.setattr(intake, "_SMALL", 1000)
    parsed, short_is_done = [], threading.Event()

    def slow_parse(body):
        if len(body) > 1000:
            assert short_is_done.wait(10)
        parsed.append(len(body))
        raise ApiError(400, "malformed", "x")

    monkeypatch.setattr(intake, "parse", slow_parse)

    async def all_at_once():
        middleware = Intake(App(), 10_000)
        requests = [post(middleware, b"x" * 2000), post(middleware, b"x" * 2001)]
        long = [asyncio.ensure_future(request) for request in requests]
        await asyncio.sleep(0)
        assert await post(middleware, b"x") == 400
        short_is_done.set()
        assert await asyncio.gather(*long) == [400, 400]

    asyncio.run(all_at_once())
    assert parsed == [1, 2000, 2001]


def test_few_long_bodies_are_in_memory_at_a_time(monkeypatch):
    monkeypatch.setattr(intake, "_SMALL", 10)
    monkeypatch.setattr(intake, "_LARGE_AT_ONCE", 2)
    monkeypatch.setattr(intake, "_PATIENCE_S", 0.2)
    stalled = Stalled()

    async def all_at_once():
        middleware = Intake(App(), 1000)
        requests = [post(middleware, b"x" * 20, b"rest", stalled=stalled) for _ in range(5)]
        assert await asyncio.gather(*requests) == [408] * 5
        assert (stalled.most, stalled.now) == (2, 0)
        assert await post(middleware, b"x" * 20) == 400  # there are places again

    asyncio.run(all_at_once())


class Stalled:
    """Counts the bodies that have begun and do not go on: now, and the most at a time."""

    def __init__(self):
        self.now = self.most = 0

    async def forever(self):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(60)
        finally:
            self.now -= 1


async def post(app, *chunks, stalled=None):
    """The status of the answer; with ``stalled``, where to count it, only the first chunk comes."""
    remaining, sent = list(chunks), []

    async def receive():
        if len(remaining) < len(chunks):
            await stalled.forever()
        body = remaining.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(remaining)}

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/generate", "headers": []}, receive, send)
    return sent[0]["status"]


def test_lifespan_events_pass_untouched():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    asyncio.run(Intake(app, 10)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
