import asyncio
import json
from concurrent.futures import Future

import pytest

from midigpt.errors import GenerationError
from midigpt.server import stream
from midigpt.server.results import GenerateOutput, ProgressFrame
from midigpt.server.stream import Answer, Channel, EventStream
from tests.server.fakes import PROGRESS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def output(status):
    return GenerateOutput(request_id="mine", model="fake", status=status)


class Client:
    """One end of a connection: what it got, and whether it has left."""

    def __init__(self):
        self.messages = []
        self.stopped = 0
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)

    def stop(self):
        self.stopped += 1

    async def listen(self, channel):
        await EventStream(channel, self.stop)({"type": "http"}, self.receive, self.send)

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()

    @property
    def frames(self):
        return [json.loads(frame.removeprefix("data: ")) for frame in self.text.split("\n\n")[:-1]]


def ended(channel, *, result=None, error=None, cancelled=False):
    future = Future()
    if cancelled:
        future.cancel()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
    channel.end(future, lambda: output("cancelled"))


async def test_frames_come_in_their_order_and_the_last_ends_the_stream():
    channel, client = Channel("mine"), Client()
    channel.queued(2)
    channel.tell(ProgressFrame(progress=PROGRESS))
    ended(channel, result=Answer.of(output("completed")))
    await client.listen(channel)
    assert client.frames == [
        {"type": "queued", "request_id": "mine", "position": 2},
        {"type": "progress", "progress": PROGRESS.model_dump()},
        {
            "type": "done",
            "response": {"request_id": "mine", "model": "fake", "status": "completed"},
        },
    ]
    assert [message.get("more_body") for message in client.messages] == [None, *[True] * 3, False]


async def test_the_headers():
    channel, client = Channel("mine"), Client()
    ended(channel, cancelled=True)
    await client.listen(channel)
    assert dict(client.messages[0]["headers"]) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
        b"x-request-id": b"mine",
    }


async def test_whoever_is_first_need_not_be_told_a_place():
    channel, client = Channel("mine"), Client()
    channel.queued(0)
    ended(channel, cancelled=True)
    await client.listen(channel)
    assert [frame["type"] for frame in client.frames] == ["cancelled"]


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (GenerationError("all rejected"), "inference_failed", "all rejected"),
        (ZeroDivisionError("secret"), "internal", "the server failed on this request"),
    ],
)
async def test_a_failure_is_the_last_frame(error, code, detail, caplog):
    channel, client = Channel("mine"), Client()
    ended(channel, error=error)
    await client.listen(channel)
    (frame,) = client.frames
    assert (frame["type"], frame["request_id"]) == ("error", "mine")
    assert (frame["code"], frame["status"]) == (code, 500)
    assert frame["error"] == frame["detail"]
    assert frame["detail"].startswith(detail)
    assert ("secret" in caplog.text) is (code == "internal")


async def test_silence_is_broken_by_comments(monkeypatch):
    monkeypatch.setattr(stream, "SILENCE_S", 0.02)
    channel, client = Channel("mine"), Client()
    listening = asyncio.ensure_future(client.listen(channel))
    await asyncio.sleep(0.1)
    ended(channel, cancelled=True)
    await listening
    *comments, last = client.text.split("\n\n")[:-1]
    assert set(comments) == {": still here"}
    assert json.loads(last.removeprefix("data: "))["type"] == "cancelled"


async def test_a_client_that_leaves_stops_the_generation():
    channel, client = Channel("mine"), Client()
    client.gone.set()
    await client.listen(channel)
    assert client.stopped == 1
    assert client.text == ""
    assert client.messages[-1]["more_body"] is False


async def test_a_connection_that_breaks_stops_the_generation():
    channel, client = Channel("mine"), Client()
    channel.tell(ProgressFrame(progress=PROGRESS))

    async def broken(message):
        if message["type"] == "http.response.body":
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - whatever it is, it is passed on
        await EventStream(channel, client.stop)({"type": "http"}, client.receive, broken)
    assert client.stopped == 1


async def test_a_stream_that_is_given_up_leaves_nothing_running():
    channel, client = Channel("mine"), Client()
    before = asyncio.all_tasks()
    listening = asyncio.ensure_future(client.listen(channel))
    await asyncio.sleep(0.02)
    listening.cancel()
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == before
    assert client.stopped == 1


async def test_frames_may_come_from_any_thread():
    channel, client = Channel("mine"), Client()
    listening = asyncio.ensure_future(client.listen(channel))
    await asyncio.to_thread(channel.tell, ProgressFrame(progress=PROGRESS))
    await asyncio.to_thread(ended, channel, result=Answer.of(output("completed")))
    await listening
    assert [frame["type"] for frame in client.frames] == ["progress", "done"]
