import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.datastructures import Headers

from midigpt.server import intake
from midigpt.server.errors import ApiError
from midigpt.server.intake import Intake, check_headers
from tests.server.fakes import BODY

WORKERS = ThreadPoolExecutor(1)


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


@pytest.mark.parametrize("media", ["text/plain", "", ";", "application/jsonx", "text/json"])
def test_other_media_types_are_not(media):
    assert refusal(content_type=media) == 415


def test_compressed_and_long_bodies_are_not():
    assert refusal(content_encoding="gzip") == 415
    assert refusal(content_length="101") == 413


def call(chunks, *, path="/generate", method="POST", limit=10_000, headers=()):
    """Send a body in chunks through the middleware: what the next app saw, and what was sent."""
    sent, seen = [], []
    messages = iter(chunks)

    async def app(scope, receive, _send):
        seen.append((scope.get("state"), await receive() if path != "/generate" else None))

    async def receive():
        chunk = next(messages)
        if chunk is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": chunk, "more_body": chunk != chunks[-1]}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(Intake(app, WORKERS, limit)(scope, receive, send))
    return seen, sent


def test_a_body_is_read_and_checked_before_the_app_is_called():
    text = json.dumps({**BODY, "x": 1}).encode()
    [(state, _)], sent = call([text[:10], text[10:]])
    assert state["body"].request.tracks[0].bars == [0]
    assert state["ignored"] == ["'x' is not known and was ignored"]
    assert sent == []


@pytest.mark.parametrize(("path", "method"), [("/generate", "GET"), ("/health", "POST")])
def test_other_requests_pass_untouched(path, method):
    seen, _ = call([b"x"], path="/health" if path == "/health" else "/elsewhere", method=method)
    assert seen == [(None, {"type": "http.request", "body": b"x", "more_body": False})]


def test_a_malformed_body_is_answered_here():
    seen, sent = call([b"{"])
    assert (seen, sent[0]["status"]) == ([], 400)
    assert json.loads(sent[1]["body"])["code"] == "malformed"


def test_a_body_without_a_length_is_read_up_to_the_limit():
    seen, sent = call([b"x" * 60, b"y" * 60, b"z" * 60], limit=100)
    assert (seen, sent[0]["status"]) == ([], 413)
    assert json.loads(sent[1]["body"])["detail"] == "the body is longer than 100 bytes"


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(intake, "_PATIENCE_S", 0.05)
    seen, sent = call([b"{", None])
    assert (seen, sent[0]["status"]) == ([], 408)
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "timeout"


def test_lifespan_events_pass_untouched():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    asyncio.run(Intake(app, WORKERS, 10)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
