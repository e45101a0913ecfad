"""What the tests of real servers ask for, and how they look at what happens."""

import json
import socket
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

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
NOTES = [
    {"pitch": 50 + 3 * n, "velocity": 90, "onset_ticks": 160 * n, "duration_ticks": 160}
    for n in range(10)
]
BARS = 300


def short(seed=7, **members):
    """A request that is answered within some tens of milliseconds."""
    config = {"seed": seed, "density_hard_limit": 3}
    request = {"tracks": [{"id": 0, "bars": [1, 2]}], "config": config}
    return {"score": SCORE, "request": request, **members}


def long(bars=BARS, **members):
    """A request that keeps the model busy: with all bars, for longer than any test waits."""
    request = {"tracks": [{"id": 0, "bars": list(range(bars))}], "config": {"seed": 7}}
    return {"score": {"tracks": [{"bars": [{}] * bars}]}, "request": request, **members}


def configured(body, **config):
    """The same request with other settings."""
    request = body["request"]
    return {**body, "request": {**request, "config": {**request["config"], **config}}}


def crowded(tracks, bars, notes):
    """A score full of notes, and a request to write its first bar with all the rest in view."""
    bar = {
        "notes": [
            {"pitch": 40 + n % 40, "velocity": 90, "onset_ticks": 36 * n, "duration_ticks": 48}
            for n in range(notes)
        ]
    }
    prompts = [{"id": index, "bars": [] if index else [0]} for index in range(tracks)]
    return {
        "score": {"tracks": [{"bars": [bar] * bars}] * tracks},
        "request": {"tracks": prompts, "config": {}},
    }


def inflight(client):
    """How many requests are waiting or running."""
    return int(client.get("/health").headers["x-inflight"])


def until(condition, seconds=5):
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.01)


def frames(text):
    """The frames of a stream, which must be whole; comments between them are left out."""
    *parts, rest = text.split("\n\n")
    assert rest == ""
    return [json.loads(part.removeprefix("data: ")) for part in parts if not part.startswith(":")]


def told(client, body):
    """Send a request to be streamed and listen to the end: its frames."""
    with client.stream("POST", "/generate", json={**body, "stream": True}) as response:
        assert response.status_code == 200, response.read()
        return frames(response.read().decode())


@contextmanager
def sent(url, body, length=None, headers=()):
    """A connection on which a request was sent; leaving the block closes it.

    Args:
        url: of the server.
        body: JSON to be, or the bytes themselves.
        length: how long the body is said to be, if that is not true.
        headers: further ones.
    """
    place = urlsplit(url)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {
        "Host": place.netloc,
        "Content-Length": len(content) if length is None else length,
        **dict(headers),
    }
    lines = ["POST /generate HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        yield connection


def polled(client, path, times, pause):
    """Get something again and again: the seconds that each answer took."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        assert client.get(path).status_code == 200
        seconds.append(time.monotonic() - began)
        time.sleep(pause)
    return seconds


def quantile(seconds, share):
    """The value that this share of the values does not exceed."""
    return sorted(seconds)[round(share * (len(seconds) - 1))]
