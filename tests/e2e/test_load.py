"""Many requests at a time: what each gets is what it gets alone."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from tests.e2e.asking import (
    configured,
    inflight,
    long,
    sent,
    short,
    told,
    until,
)
from tests.e2e.checkpoints import SMALL, untrained
from tests.e2e.servers import served

pytestmark = pytest.mark.e2e

REQUESTS = 50
SIDE_BY_SIDE = 8


@pytest.fixture(scope="module", params=[1, 3], ids=lambda parallel: f"max-parallel {parallel}")
def server(request, tmp_path_factory):
    """Its network is large enough for sums that depend on the order of what is added."""
    home = tmp_path_factory.mktemp("load")
    model = untrained(home / "small.safetensors", SMALL)
    with served(home, "--ckpt", str(model), "--max-parallel", str(request.param)) as server:
        yield server


def music(seed):
    """One of many requests: windows, ways to write, numbers of results and lengths differ."""
    bars = 8 if seed % 3 else 4
    body = {
        "score": {"tracks": [{"bars": short()["score"]["tracks"][0]["bars"] * 2}] * 2},
        "request": {
            "tracks": [
                {"id": 0, "bars": list(range(seed % 4, bars))},
                {"id": 1, "bars": [] if seed % 2 else [6, 7], "autoregressive": not seed % 2},
            ],
            "config": {"seed": seed, "model_dim": 4 + seed % 2 * 4, "density_hard_limit": 4},
        },
    }
    return configured(body, num_candidates=2) if seed % 5 == 0 else body


def scores(client, seed, *, streamed=False):
    """The score, or the scores, that a request is answered with."""
    body = music(seed)
    if streamed and seed % 5:
        answer = told(client, body)[-1]["response"]
    else:
        answer = client.post("/generate", json=body).json()
    assert answer["status"] == "completed", answer
    if "candidates" in answer:
        return [candidate["score"] for candidate in answer["candidates"]]
    return [answer["score"]]


@contextmanager
def others(server, client):
    """Clients that come, change their minds and leave, for the length of a block."""
    done = threading.Event()

    def cancel(name):
        return client.post(f"/generate/{name}/cancel").status_code == 200

    def cancels():
        for turn in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            name = f"other-{turn}"
            with sent(server.url, long(request_id=name)) as connection:
                done.wait(0.03)
                until(partial(cancel, name), 30)
                assert connection.recv(15) == b"HTTP/1.1 200 OK"

    def leaves():
        for turn in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            with sent(server.url, long(stream=bool(turn % 2))):
                done.wait(random.random() / 10)

    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(cancels), threads.submit(leaves)]
        try:
            yield
        finally:
            done.set()
    for thread in busy:
        thread.result()


def test_results_do_not_depend_on_what_else_is_going_on(server, client):
    alone = [scores(client, seed) for seed in range(REQUESTS)]
    assert len({str(result) for result in alone}) == REQUESTS

    def ask(seed):
        return scores(client, seed, streamed=seed % 2 == 0)

    with others(server, client), ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        together = list(threads.map(ask, range(REQUESTS)))
    assert together == alone
    until(lambda: inflight(client) == 0)
    assert "Traceback" not in server.log.read_text()
