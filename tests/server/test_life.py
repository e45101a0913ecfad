import asyncio
import time

import pytest

from midigpt.server.jobs import JobQueue, Lane
from midigpt.server.life import Activity, Watched, end_when_idle, settled

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def activity():
    activity = Activity()
    activity.last = -100.0
    return activity


async def request(activity, path, seen=None):
    async def app(_scope, _receive, _send):
        if seen is not None:
            seen.append((activity.open, activity.idle()))

    await Watched(app, activity)({"type": "http", "path": path}, None, None)


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
async def test_nobody_is_idle_while_music_is_written(activity, path):
    seen = []
    await request(activity, path, seen)
    assert seen == [(1, 0.0)]
    assert activity.open == 0


@pytest.mark.parametrize("end", [{"type": "http.disconnect"}, {"type": "http.request"}])
async def test_a_request_is_heard_when_its_body_has_arrived(activity, end):
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, end, end]
    seen = []

    async def receive():
        return messages.pop(0)

    async def app(_scope, receive, _send):
        while messages:
            seen.append(activity.heard)
            await receive()
        seen.append(activity.heard)

    await Watched(app, activity)({"type": "http", "path": "/generate"}, receive, None)
    assert seen == [0, 0, 1, 1]
    assert (activity.open, activity.heard) == (0, 0)


async def test_a_request_that_fails_is_no_longer_open(activity):
    async def app(_scope, _receive, _send):
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - the one raised above
        await Watched(app, activity)({"type": "http", "path": "/generate"}, None, None)
    assert activity.open == 0


@pytest.mark.parametrize("path", ["/health", "/generate", "/generate/x/cancel", "/api/cancel"])
async def test_what_keeps_a_server_alive(activity, path):
    await request(activity, path)
    assert activity.idle() < 5


@pytest.mark.parametrize("path", ["/info", "/metrics", "/readyz"])
async def test_what_does_not(activity, path):
    await request(activity, path)
    assert activity.idle() > 50


async def test_a_server_that_nobody_needs_ends():
    activity, ended = Activity(), []
    began = time.monotonic()
    activity.open = 1
    ending = asyncio.ensure_future(end_when_idle(0.1, activity, lambda: ended.append(True)))
    await asyncio.sleep(0.2)
    assert not ended
    activity.open = 0
    activity.touch()
    await ending
    assert ended
    assert time.monotonic() - began >= 0.3


async def test_everybody_gets_an_answer_before_the_end():
    activity, jobs = Activity(), JobQueue(5)
    job = jobs.submit(Lane(), "only", lambda job: job.stop.wait(5))
    activity.heard = 1
    waiting = asyncio.ensure_future(settled(jobs, activity, 5))
    await asyncio.sleep(0.1)
    job.cancel("shutdown")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    activity.heard = 0
    await asyncio.wait_for(waiting, 2)


async def test_those_who_do_not_take_their_answer_are_not_waited_for():
    activity = Activity()
    activity.heard = 1
    await asyncio.wait_for(settled(JobQueue(5), activity, 0.1), 2)


async def test_questions_that_do_not_come_to_their_end_are_not_waited_for():
    activity = Activity()
    activity.open = 1
    await asyncio.wait_for(settled(JobQueue(5), activity, 60), 2)
