"""Long bodies that are meant to hurt: nobody else notices, and memory has an end."""

import time

import psutil
import pytest

from tests.fuzz.contract import check
from tests.fuzz.hostile import HARMLESS, MALFORMED, TOO_LARGE, UNFIT
from tests.fuzz.watch import LONGEST_S

pytestmark = pytest.mark.e2e

MOST_BYTES = 2**30
CASES = [
    pytest.param(make, status, id=f"{status}-{name}", marks=[pytest.mark.slow] if index else [])
    for status, bodies in ((200, HARMLESS), (400, MALFORMED), (413, TOO_LARGE), (422, UNFIT))
    for index, (name, make) in enumerate(bodies.items())
]
"""Of each kind only the first is sent every time."""


def family(server):
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


def used(server):
    """Memory that the processes of a server take."""
    return sum(process.memory_info().rss for process in family(server))


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def before(server):
    return used(server)


def slowest(client, watch, body, status):
    """The longest that somebody else waited while a body was dealt with."""
    watch.seconds()
    began = time.monotonic()
    answer = client.post("/generate", content=body, headers={"Content-Type": "application/json"})
    assert time.monotonic() - began < 15
    assert answer.status_code == status
    check(answer)
    return max(watch.seconds(), default=0)


@pytest.mark.parametrize(("make", "status"), CASES)
def test_a_hostile_body_bothers_nobody_else(client, server, watch, before, make, status):
    body = make()
    # again if the machine was busy with something else
    assert any(slowest(client, watch, body, status) < LONGEST_S for _ in range(3))
    assert used(server) - before < MOST_BYTES
