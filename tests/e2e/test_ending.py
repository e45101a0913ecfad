"""How server processes end: when told to, killed, or idle."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.e2e.asking import inflight, long, short, until
from tests.e2e.servers import CLI, end, is_free, launch, output, served, wait_for_line

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0.3, 1.2, 2])
def test_it_may_be_ended_while_it_starts(tmp_path, checkpoint, number, seconds):
    process = launch([*CLI, "--ckpt", str(checkpoint), "--port", "0"], tmp_path)
    try:
        wait_for_line(r"^midigpt-http: port (\d+)$", tmp_path, process)
        time.sleep(seconds)
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        end(process)
    assert (tmp_path / "err").read_text() == ""
    assert "Traceback" not in output(tmp_path)


def test_an_interrupt_lets_running_requests_end(tmp_path, checkpoint):
    with served(tmp_path, "--ckpt", str(checkpoint)) as server, server.client() as client:
        body = long()
        body["request"]["tracks"][0]["bars"] = list(range(5))
        request = client.build_request("POST", "/generate", json=body)
        stopping = _stop_later(server.process.pid, 0.3)
        answer = client.send(request)
        stopping.join()
        assert answer.json()["status"] == "completed"
        assert server.process.wait(30) == 0


def _stop_later(pid, seconds):
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGINT))
    timer.start()
    return timer


@pytest.fixture
def busy(tmp_path, checkpoint):
    """A server that writes for ever, and what it will answer."""
    with (
        served(tmp_path, "--ckpt", str(checkpoint)) as server,
        server.client() as client,
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(client.post, "/generate", json=long())
        with server.client() as other:
            until(lambda: inflight(other) == 1)
        yield server, answer
        server.process.kill()


def test_long_requests_are_cut_short_and_new_ones_refused(busy):
    server, answer = busy
    with server.client() as client:
        client.get("/health")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        refused = client.post("/generate", json=short())
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        assert int(refused.headers["retry-after"]) >= 1
    cut = answer.result(30).json()
    assert (cut["status"], cut["cancel_reason"]) == ("cancelled", "shutdown")
    assert cut["score"]["tracks"]
    assert server.process.wait(30) == 0
    assert 10 <= time.monotonic() - began < 25


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,) * 2])
def test_a_second_signal_ends_it_at_once(busy, numbers):
    server, answer = busy
    first, second = numbers
    server.process.send_signal(first)
    time.sleep(0.5)
    assert server.process.poll() is None
    server.process.send_signal(second)
    server.process.wait(5)
    assert isinstance(answer.exception(5), httpx.TransportError)
    assert is_free(httpx.URL(server.url).port)


def test_a_killed_server_leaves_nothing_behind(busy):
    server, answer = busy
    family = psutil.Process(server.process.pid).children(recursive=True)
    server.process.kill()
    assert server.process.wait(5) == -signal.SIGKILL
    assert isinstance(answer.exception(5), httpx.TransportError)
    assert family == []
    assert is_free(httpx.URL(server.url).port)


def test_an_idle_server_ends(tmp_path, checkpoint):
    flags = ["--ckpt", str(checkpoint), "--idle-timeout", "2"]
    with served(tmp_path, *flags) as server, server.client() as client:
        for _ in range(4):  # anybody who asks keeps it alive
            time.sleep(1)
            client.get("/health")
        began = time.monotonic()
        assert server.process.wait(30) == 0
        assert 1.5 < time.monotonic() - began < 15
    assert (tmp_path / "err").read_text() == ""


def test_a_server_that_writes_is_not_idle(tmp_path, checkpoint):
    flags = ["--ckpt", str(checkpoint), "--idle-timeout", "1", "--max-generation-seconds", "4"]
    with served(tmp_path, *flags) as server, server.client() as client:
        answer = client.post("/generate", json=long()).json()
        assert (answer["status"], answer["cancel_reason"]) == ("cancelled", "time_limit")
        assert server.process.wait(30) == 0
