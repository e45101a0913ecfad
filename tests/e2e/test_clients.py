"""BentoML's own clients, whose methods are made from what the server says it has."""

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager

import bentoml
import pytest
from bentoml.exceptions import InvalidArgument, NotFound, UnprocessableEntity

from midigpt import Score
from tests.e2e.asking import configured, inflight, long, short, until

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextmanager
def generated_client(server):
    with bentoml.SyncHTTPClient(server.url, timeout=60) as client:
        yield client
    client._temp_dir.cleanup()  # which closing it leaves to the garbage collector


@asynccontextmanager
async def generated_async_client(server):
    async with bentoml.AsyncHTTPClient(server.url, timeout=60) as client:
        yield client
    client._temp_dir.cleanup()


@pytest.fixture
def generated(server):
    with generated_client(server) as client:
        yield client


class Frames:
    """What a stream tells, from the chunks of text that a generated client yields.

    A chunk is whatever came over the wire at once, so it may end anywhere; a frame ends with an
    empty line, and comments begin with a colon.
    """

    def __init__(self):
        self._rest = ""

    def of(self, chunk):
        """The frames that are complete with this chunk."""
        *parts, self._rest = (self._rest + chunk).split("\n\n")
        return [json.loads(part.removeprefix("data: ")) for part in parts if part[:1] != ":"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_frames_are_found_wherever_chunks_end(size):
    text = 'data: {"type":"queued"}\n\n: still here\n\ndata: {"type":"done"}\n\n'
    frames = Frames()
    chunks = [text[begin : begin + size] for begin in range(0, len(text), size)]
    found = [frame for chunk in chunks for frame in frames.of(chunk)]
    assert [frame["type"] for frame in found] == ["queued", "done"]


def test_its_methods(generated):
    names = {"health", "info", "models", "generate", "generate_stream", "cancel"}
    assert set(generated.endpoints) == names


def test_what_the_server_is(generated, client, checkpoint):
    assert generated.health() == {"status": "ok"}
    assert generated.info() == client.get("/info").json()
    assert generated.info(model="tiny")["checkpoint"] == str(checkpoint)
    assert generated.models() == client.get("/models").json()


def test_music(generated, client):
    answer = generated.generate(**short(), request_id="mine")
    plain = client.post("/generate", json=short()).json()
    assert (answer["request_id"], answer["status"]) == ("mine", "completed")
    assert answer["score"] == plain["score"]
    assert answer["generated_bars"] == {"0": [1, 2]}
    # one answer's score is the next request's, as it is or as an object of this package
    Score.from_dict(answer["score"])
    again = generated.generate(score=answer["score"], request=short()["request"])
    assert again["status"] == "completed"


def test_candidates_and_plans(generated):
    several = generated.generate(**configured(short(), num_candidates=2))
    assert [candidate["seed"] for candidate in several["candidates"]] == [7, 8]
    assert several["summary"]["succeeded"] == 2
    planned = generated.generate(**configured(short(), plan_only=True))
    assert [step["generate"] for step in planned["plan"]] == [{"0": [1]}, {"0": [2]}]


def test_a_stream(generated, client):
    frames = Frames()
    chunks = generated.generate_stream(**short(), request_id="mine")
    *before, last = [frame for chunk in chunks for frame in frames.of(chunk)]
    assert {frame["type"] for frame in before} <= {"queued", "notes", "progress"}
    assert last["type"] == "done"
    assert last["response"]["score"] == client.post("/generate", json=short()).json()["score"]


def test_a_stream_that_is_closed_stops_the_generation(generated, client):
    chunks = generated.generate_stream(**long())
    assert next(chunks).startswith("data: ")
    assert inflight(client) == 1
    chunks.close()
    until(lambda: inflight(client) == 0, 2)


def test_a_generation_is_cancelled(server, generated, client):
    frames, found = Frames(), []
    chunks = generated.generate_stream(**long(), request_id="mine")
    found += frames.of(next(chunks))
    with generated_client(server) as other:
        assert other.cancel(request_id="mine") == {"request_id": "mine", "status": "cancelling"}
    found += [frame for chunk in chunks for frame in frames.of(chunk)]
    assert found[-1]["type"] == "cancelled"
    assert found[-1]["response"]["cancel_reason"] == "client"
    assert inflight(client) == 0


REFUSALS = {
    "malformed": (lambda k: k.generate(**short(request_id="..")), InvalidArgument),
    "unknown_model": (lambda k: k.info(model="ghost"), InvalidArgument),
    "invalid_request": (lambda k: k.generate(**{**short(), "score": {}}), UnprocessableEntity),
    "not_found": (lambda k: k.cancel(request_id="nobody"), NotFound),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal(code, generated):
    call, kind = REFUSALS[code]
    with pytest.raises(kind) as caught:
        call(generated)
    assert json.loads(str(caught.value))["code"] == code


def test_a_stream_that_is_refused(generated):
    with pytest.raises(UnprocessableEntity) as caught:
        next(generated.generate_stream(**{**short(), "score": {}}))
    assert json.loads(str(caught.value))["code"] == "invalid_request"


async def test_asynchronous(server, client):
    async with generated_async_client(server) as generated:
        assert await generated.health() == {"status": "ok"}
        assert await generated.info() == client.get("/info").json()
        assert await generated.models() == client.get("/models").json()
        answers = await asyncio.gather(*(generated.generate(**short(seed)) for seed in range(3)))
        assert [answer["seed"] for answer in answers] == [0, 1, 2]
        with pytest.raises(NotFound):
            await generated.cancel(request_id="nobody")
        frames, found = Frames(), []
        async for chunk in generated.generate_stream(**short()):
            found += frames.of(chunk)
        assert found[-1]["response"]["status"] == "completed"


async def test_an_asynchronous_stream_that_is_closed_stops_the_generation(server, client):
    async with generated_async_client(server) as generated:
        chunks = generated.generate_stream(**long())
        assert (await anext(chunks)).startswith("data: ")
        await chunks.aclose()
        await asyncio.to_thread(until, lambda: inflight(client) == 0, 2)
