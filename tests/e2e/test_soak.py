"""Thousands of requests of all kinds: nothing is left of them."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
import pytest

from tests.e2e.asking import configured, crowded, inflight, long, sent, short, told, until
from tests.e2e.servers import served

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = 2000
WARM_UP = 200
SIDE_BY_SIDE = 6
LARGE = crowded(tracks=20, bars=50, notes=10)


@dataclass(frozen=True)
class Visit:
    """One client and its number."""

    server: object
    client: object
    number: int


def music(visit):
    answer = visit.client.post("/generate", json=short(visit.number))
    assert answer.json()["status"] == "completed"


def a_stream(visit):
    assert told(visit.client, short(visit.number))[-1]["type"] == "done"


def candidates(visit):
    body = configured(short(visit.number), num_candidates=3)
    assert visit.client.post("/generate", json=body).json()["summary"]["succeeded"] == 3


def a_plan(visit):
    answer = visit.client.post("/generate", json=configured(LARGE, plan_only=True))
    assert answer.json()["status"] == "planned"


def nonsense(visit):
    assert visit.client.post("/generate", content=b'{"score": [' * 20).status_code == 400


def what_cannot_be(visit):
    body = configured(LARGE, temperature=-1)
    assert visit.client.post("/generate", json=body).status_code == 422


def another_address(visit):
    assert visit.client.get(f"/nowhere/{visit.number}").status_code == 404
    assert visit.client.post(f"/generate/nobody-{visit.number}/cancel").status_code == 404


def what_there_is(visit):
    for path in ("/health", "/info", "/models", "/openapi.json", "/metrics"):
        assert visit.client.get(path).status_code == 200


def something_and_cancels(visit):
    name = f"cancelled-{visit.number}"
    with sent(visit.server.url, long(request_id=name)) as connection:
        until(lambda: visit.client.post(f"/generate/{name}/cancel").status_code == 200, 60)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def something_and_leaves(visit):
    with sent(visit.server.url, long(stream=bool(visit.number % 2))):
        time.sleep(visit.number % 10 / 50)


def half_a_question(visit):
    with sent(visit.server.url, b'{"score": ', length=1000):
        time.sleep(0.01)


WISHES = [
    music,
    a_stream,
    candidates,
    a_plan,
    nonsense,
    what_cannot_be,
    another_address,
    what_there_is,
    something_and_cancels,
    something_and_leaves,
    half_a_question,
]


@dataclass(frozen=True)
class State:
    """What a server holds on to."""

    megabytes: float
    threads: int
    files: int

    @classmethod
    def of(cls, server):
        family = [psutil.Process(server.process.pid)]
        family += family[0].children(recursive=True)
        return cls(
            sum(process.memory_info().rss for process in family) / 2**20,
            sum(process.num_threads() for process in family),
            sum(process.num_fds() for process in family),
        )


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    with served(tmp_path_factory.mktemp("soak"), "--ckpt", str(checkpoint)) as server:
        yield server


@pytest.mark.timeout(1800)
def test_nothing_is_left(server, client, capsys):
    wished = Counter()
    files = State.of(server).files + 1  # and our own connection

    def visit(number):
        wish = random.Random(number).choice(WISHES)  # the same each time
        with server.client() as own:
            wish(Visit(server, own, number))
        return wish.__name__

    def state_after(numbers):
        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            wished.update(threads.map(visit, numbers))
        until(lambda: inflight(client) == 0)
        until(lambda: State.of(server).files <= files, 10)
        return State.of(server)

    began = time.monotonic()
    states = [state_after(range(WARM_UP))]
    states += [state_after(range(begin, begin + 300)) for begin in range(WARM_UP, REQUESTS, 300)]
    with capsys.disabled():
        print(f"\n{wished} in {time.monotonic() - began:.0f} s", *states, sep="\n")  # noqa: T201 - the figures are what it is run for
    assert wished.total() == REQUESTS
    assert states[-1].megabytes < 1.05 * states[0].megabytes
    # the framework has one for each who asks for metrics at a time, until it has been idle a while
    assert states[-1].threads <= states[0].threads + SIDE_BY_SIDE
    assert "Traceback" not in server.log.read_text()
    assert server.stop() == 0
