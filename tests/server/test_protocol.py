import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from midigpt.server import protocol
from midigpt.server.protocol import Http


async def app(scope, receive, send):
    if scope["type"] == "http":
        body = (await receive())["body"]
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address():
    config = uvicorn.Config(app, http=Http, port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join()


@contextmanager
def connected(address):
    with socket.create_connection(address) as connection:
        connection.settimeout(10)
        yield connection


def everything(connection):
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


@pytest.mark.parametrize("said", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"])
def test_what_is_not_http_is_told_so_in_json(address, said):
    with connected(address) as connection:
        connection.sendall(said)
        head, body = everything(connection).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    assert json.loads(body) == {"detail": "this is not a request of HTTP/1.1", "code": "malformed"}


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_request_that_does_not_come_is_not_waited_for(address, said, monkeypatch):
    monkeypatch.setattr(protocol, "PATIENCE_S", 0.2)
    with connected(address) as connection:
        connection.sendall(said)
        assert everything(connection) == b""


def test_nor_is_one_that_comes_bit_by_bit(address, monkeypatch):
    monkeypatch.setattr(protocol, "PATIENCE_S", 0.2)
    with connected(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert not all(still_open(connection) for _ in range(200))


def still_open(connection):
    time.sleep(0.02)
    try:
        connection.sendall(b"X: x\r\n")
    except OSError:
        return False
    return True


REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nmusic"


def test_several_requests_on_one_connection(address, monkeypatch):
    monkeypatch.setattr(protocol, "PATIENCE_S", 0.3)
    with connected(address) as connection:
        for _ in range(3):
            connection.sendall(REQUEST[:30])
            time.sleep(0.15)
            connection.sendall(REQUEST[30:])
            assert bodies(connection, 1) == [b"music"]
        connection.sendall(REQUEST + REQUEST)
        assert bodies(connection, 2) == [b"music", b"music"]


def bodies(connection, count):
    """Of so many answers."""
    data = b""
    while data.count(b"music") < count:
        data += connection.recv(65536)
    return [answer[:5] for answer in data.split(b"\r\n\r\n")[1:]]
