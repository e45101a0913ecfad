"""Three servers behind nginx, as on a machine with three GPUs or in a cluster."""

import json
import logging
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.deploy.manifests import pre_stop
from tests.deploy.proxy import needs_nginx, proxied, told, tried
from tests.e2e.asking import frames, long, short, until
from tests.e2e.servers import CLI, Server, end, free_port, launch, wait_until_ready

pytestmark = [pytest.mark.e2e, needs_nginx]

REPLICAS = 3
REQUESTS = 200
SEEDS = 20
AT_A_TIME = 8
MOST_AT_ONCE = 4
KILL_AFTER = 60

logger = logging.getLogger(__name__)


@contextmanager
def replicas(folder, checkpoint, count):
    """Servers of the same checkpoint, started side by side."""
    started = []
    with ExitStack() as stack:
        for index in range(count):
            home, port = folder / f"replica-{index}", free_port()
            flags = f"--host 127.0.0.1 --port {port} --max-parallel {MOST_AT_ONCE}".split()
            process = launch([*CLI, "--ckpt", str(checkpoint), *flags], home)
            stack.callback(end, process)
            started.append((Server(f"http://127.0.0.1:{port}", process, home / "out"), home))
        for server, home in started:
            wait_until_ready(server.url, server.process, home)
        yield [server for server, _ in started]


@dataclass
class Site:
    """Three servers and the address that stands for them."""

    servers: list[Server]
    door: Server

    def client(self):
        return self.door.client()


@pytest.fixture(scope="module")
def site(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with (
        replicas(folder, checkpoint, REPLICAS) as servers,
        proxied(folder / "nginx", [server.url for server in servers]) as door,
    ):
        yield Site(servers, door)


def music(answer):
    """What was written, of all that an answer says."""
    assert answer["status"] == "completed", answer
    return answer["score"]["tracks"]


class Stream:
    """A request whose answer is read as it comes, in a thread of ``threads``.

    Attributes:
        frames: what has come so far.
        done: how it ended: the last frame's type, or the exception.
    """

    def __init__(self, threads, door, id_):
        self.frames = []
        self.done = threads.submit(self._read, door, long(stream=True, request_id=id_))

    def _read(self, door, body):
        with door.client() as client, client.stream("POST", "/generate", json=body) as answer:
            try:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        self.frames.append(json.loads(line.removeprefix("data: ")))
            except httpx.RemoteProtocolError as error:
                return error
        return self.frames[-1]["type"]


def ask(door, body):
    """What came of a request: its answer; None where the connection broke in the middle of it."""
    with door.client() as client:
        try:
            return client.post("/generate", json=body)
        except httpx.RemoteProtocolError:
            return None


def test_requests_go_to_all(site):
    with site.client() as client:
        for index in range(6):
            client.post("/generate", json=short(request_id=f"spread-{index}"))
    served = [tried(site.door.log, f"spread-{index}") for index in range(6)]
    assert {server for [server] in served} == {
        server.url.removeprefix("http://") for server in site.servers
    }


def test_the_same_seed_is_the_same_music_everywhere(site):
    with site.client() as client:
        expected = music(client.post("/generate", json=short(seed=3)).json())
    for server in site.servers:
        with server.client() as client:
            assert music(client.post("/generate", json=short(seed=3)).json()) == expected


@pytest.mark.parametrize("form", ["path", "body"])
def test_cancel_reaches_the_server_that_has_the_request(site, form):
    ids = [f"{form}-{index}" for index in range(REPLICAS)]
    with ThreadPoolExecutor(REPLICAS) as threads, site.client() as client:
        streams = [Stream(threads, site.door, id_) for id_ in ids]
        until(lambda: all(stream.frames for stream in streams), seconds=30)
        for id_, stream in zip(ids, streams, strict=True):
            if form == "path":
                answer = client.post(f"/generate/{id_}/cancel")
            else:
                answer = client.post("/api/cancel", json={"request_id": id_})
            assert answer.status_code == 200
            assert answer.json() == {"request_id": id_, "status": "cancelling"}
            assert stream.done.result(10) == "cancelled"
    # each had been given to another one
    assert len({tried(site.door.log, id_)[0] for id_ in ids}) == REPLICAS


def test_cancel_of_what_nobody_has(site):
    with site.client() as client:
        answer = client.post("/generate/nothing/cancel")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_streams_come_as_they_are_written(site):
    began = time.monotonic()
    with site.client() as client:
        body = long(stream=True, request_id="slow")
        with client.stream("POST", "/generate", json=body) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            assert client.post("/generate/slow/cancel").status_code == 200
            assert frames("\n".join(["", *lines, ""]).lstrip("\n"))[-1]["type"] == "cancelled"
    assert time.monotonic() - began < 20


def test_what_the_door_says_itself(site):
    with site.client() as client:
        large = client.post("/generate", content=b" " * (32 * 2**20 + 1))
        metrics = client.get("/metrics")
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    assert (metrics.status_code, metrics.json()["code"]) == (404, "not_found")


def test_nobody_is_there(tmp_path):
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    with proxied(tmp_path / "nginx", urls) as door, door.client() as client:
        answer = client.post("/generate", json=short())
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["retry-after"] == "5"


def test_a_pod_that_ends_waits_for_its_requests(site):
    program, flag, script = pre_stop()
    assert (program, flag) == ("python", "-c")
    server = site.servers[0]
    assert "http://localhost:3000/" in script
    assert "sleep(10)" in script
    script = script.replace("http://localhost:3000", server.url).replace("sleep(10)", "sleep(0)")
    with ThreadPoolExecutor(1) as threads, server.client() as client:
        stream = Stream(threads, server, "last")
        until(lambda: stream.frames, seconds=30)
        ending = subprocess.Popen([sys.executable, "-c", script])
        time.sleep(1)
        assert ending.poll() is None
        client.post("/generate/last/cancel")
        assert stream.done.result(10) == "cancelled"
        assert ending.wait(10) == 0


# the last one, for it leaves two
def test_a_server_is_killed_under_load(site):
    with site.client() as client:
        expected = [
            music(client.post("/generate", json=short(seed)).json()) for seed in range(SEEDS)
        ]
    killed, *left = site.servers
    ids = [f"stream-{index}" for index in range(REPLICAS)]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as threads, ThreadPoolExecutor(REPLICAS) as listeners:
        answers = [
            threads.submit(ask, site.door, short(n % SEEDS, request_id=f"load-{n}"))
            for n in range(REQUESTS)
        ]
        until(lambda: sum(answer.done() for answer in answers) >= KILL_AFTER, seconds=60)
        streams = [Stream(listeners, site.door, id_) for id_ in ids]
        until(lambda: all(stream.frames for stream in streams), seconds=30)
        killed.process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic() - began
        remaining = sum(not answer.done() for answer in answers)
        with site.client() as client:
            ends = end_streams(client, ids, streams)
        results = [answer.result(60) for answer in answers]
    seconds = time.monotonic() - began

    # no wrong answer, and none that a server can give again is missing
    address = killed.url.removeprefix("http://")
    cut_off = [n for n, answer in enumerate(results) if answer is None]
    assert [tried(site.door.log, f"load-{n}") for n in cut_off] == [[address]] * len(cut_off)
    assert len(cut_off) <= MOST_AT_ONCE
    for n, answer in enumerate(results):
        if answer is not None:
            assert answer.status_code == 200
            assert music(answer.json()) == expected[n % SEEDS]
    # a stream that had begun is lost if it was the killed one's
    victims = [id_ for id_ in ids if tried(site.door.log, id_) == [address]]
    assert [id_ for id_, how in zip(ids, ends, strict=True) if how != "cancelled"] == victims
    # only what the killed one had was passed on
    passed_on = [
        servers
        for id_, (servers, _) in told(site.door.log).items()
        if id_.startswith("load-") and len(servers) > 1
    ]
    assert {servers[0] for servers in passed_on} == {address}
    # whoever lost an answer or a stream asks again
    for n in cut_off:
        assert music(ask(site.door, short(n % SEEDS)).json()) == expected[n % SEEDS]
    with site.client() as client:
        for id_ in victims:
            again = {**short(seed=3), "request_id": id_}
            assert music(client.post("/generate", json=again).json()) == expected[3]
    for server in left:
        assert httpx.get(f"{server.url}/health").headers["x-inflight"] == "0"
    logger.info(
        "%d requests in %.1f s; killed after %.1f s with %d to go; %d passed on; "
        "%d answers and %d streams cut off",
        *(REQUESTS, seconds, killed_at, remaining, len(passed_on), len(cut_off), len(victims)),
    )


def end_streams(client, ids, streams):
    """Cancel those that go on; how each ended."""
    for id_ in ids:
        client.post(f"/generate/{id_}/cancel")
    return [stream.done.result(30) for stream in streams]
