import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.asking import inflight, until
from tests.e2e.checkpoints import YELLOW, untrained
from tests.e2e.servers import served


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The smallest network there is, as a file: what happens around it is what is looked at."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    return untrained(path, YELLOW, n_embd=32, n_layer=1, n_head=2)


@pytest.fixture(scope="session")
def start(checkpoint, tmp_path_factory):
    """Gives the server with some flags, started when first asked for; no test may end it."""
    home, running = tmp_path_factory.mktemp("servers"), {}
    with ExitStack() as stack:

        def start(*flags):
            if flags not in running:
                place = home / str(len(running))
                command = served(place, "--ckpt", str(checkpoint), *flags)
                running[flags] = stack.enter_context(command)
            return running[flags]

        yield start


@pytest.fixture
def flags():
    """The flags of a test's server."""
    return ()


@pytest.fixture
def server(start, flags):
    return start(*flags)


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture
def asking(server):
    """Sends requests to generate side by side; those left at the end are cancelled."""
    ids = []
    with ThreadPoolExecutor(20) as threads, server.client() as client:

        def submit(body):
            before = inflight(client)
            body.setdefault("request_id", f"request-{len(ids)}-{time.monotonic_ns()}")
            ids.append(body["request_id"])
            answer = threads.submit(client.post, "/generate", json=body)
            until(lambda: answer.done() or inflight(client) > before)
            return answer

        yield submit
        for id_ in ids:
            client.post(f"/generate/{id_}/cancel")
        until(lambda: inflight(client) == 0)
