import asyncio
import gc
import json
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import anyio
import pytest

from midigpt.errors import CheckpointError, RequestValidationError
from midigpt.server.backend import Backend, unfit
from midigpt.server.errors import ApiError
from tests.server.fakes import FakeModel, body, books, deployed, info

WORKERS = ThreadPoolExecutor(2)


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


async def stay():
    """A client that waits for its answer."""
    await asyncio.sleep(60)


async def leave():
    """A client that is gone."""
    return {"type": "http.disconnect"}


async def until(condition):
    with anyio.fail_after(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def model():
    model = FakeModel()
    yield model
    model.go_on.set()


@pytest.fixture
async def backend(model):
    backend = Backend(deployed(max_queue=3), lambda _: model, WORKERS, books())
    await backend.start()
    return backend


def ask(backend, receive=stay, ignored=(), **members):
    return asyncio.ensure_future(backend.generate(body(**members), list(ignored), receive))


async def refusal(asked):
    with pytest.raises(ApiError) as caught:
        await asked
    return caught.value


async def test_an_answer(backend, model):
    model.go_on.set()
    answer = await ask(backend, request_id="mine", ignored=["'x' is not known"])
    assert answer.headers["x-request-id"] == "mine"
    assert answer.media_type == "application/json"
    content = json.loads(answer.body)
    assert (content["status"], content["warnings"]) == ("completed", ["'x' is not known"])
    assert "plan" not in content


async def test_one_writes_and_the_others_wait_in_order(backend, model):
    asked = [ask(backend, request_id=name) for name in "abc"]
    await until(model.started.is_set)
    assert model.written == ["a"]
    assert backend.health().inflight == 3
    model.go_on.set()
    await asyncio.gather(*asked)
    assert model.written == ["a", "b", "c"]
    assert backend.health().inflight == 0


async def test_a_full_queue_and_a_used_id(backend, model):
    asked = [ask(backend, request_id=name) for name in "ab"]
    await until(lambda: backend.health().inflight == 2)
    assert (await refusal(ask(backend, request_id="a"))).status == 409
    asked.append(ask(backend))
    await until(lambda: backend.health().inflight == 3)
    busy = await refusal(ask(backend, request_id="late"))
    assert (busy.status, busy.code, busy.request_id) == (503, "busy", "late")
    assert busy.headers == {"Retry-After": "5"}
    model.go_on.set()
    await asyncio.gather(*asked)


async def test_a_server_that_is_stopping(backend):
    backend.jobs.close(60)
    stopping = await refusal(ask(backend))
    assert (stopping.status, stopping.code) == (503, "shutting_down")
    assert stopping.headers == {"Retry-After": "5"}


async def test_what_needs_no_turn_is_answered_while_the_queue_is_full(backend, model):
    asked = [ask(backend, request_id=name) for name in "abc"]
    await until(lambda: backend.health().inflight == 3)
    planned = await ask(backend, request=plan_only())
    assert json.loads(planned.body)["plan"][0]["window"] == [0, 4]
    assert (await refusal(ask(backend, score={}))).status == 422
    model.go_on.set()
    await asyncio.gather(*asked)


def plan_only():
    return {"tracks": [{"id": 0, "bars": [0]}], "config": {"plan_only": True}}


async def test_a_client_that_leaves_stops_its_generation(backend):
    answer = await ask(backend, leave)
    assert json.loads(answer.body)["cancel_reason"] == "disconnect"
    assert backend.health().inflight == 0


async def test_a_client_that_leaves_while_it_waits_frees_its_place(backend, model):
    first = ask(backend)
    await until(model.started.is_set)
    answer = json.loads((await ask(backend, leave)).body)
    assert (answer["status"], answer["score"]) == ("cancelled", None)
    assert backend.health().inflight == 1
    model.go_on.set()
    await first
    assert len(model.written) == 1


@pytest.fixture
def pieces(model, monkeypatch):
    """Counts the requests that the model has accepted and that are not forgotten."""
    accepted = []
    accept = model.piece

    def piece(*args):
        piece = accept(*args)
        accepted.append(weakref.ref(piece))
        return piece

    monkeypatch.setattr(model, "piece", piece)
    gc.disable()  # nobody should need to look for them
    yield lambda: sum(piece() is not None for piece in accepted)
    gc.enable()


async def heard(response, receive=stay):
    """The answer as a client gets it."""
    messages = []

    async def send(message):
        messages.append(message)

    await response({"type": "http"}, receive, send)
    return b"".join(message.get("body", b"") for message in messages).decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["good", "broken"])
async def test_a_request_is_forgotten_when_it_is_answered(backend, model, pieces, name, stream):
    model.go_on.set()
    with suppress(ApiError):
        assert name in await heard(await ask(backend, request_id=name, stream=stream))
    await until(lambda: pieces() == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_forgotten_when_its_client_leaves(backend, model, pieces, stream):
    first = ask(backend)
    await until(model.started.is_set)
    assert pieces() == 1
    receive = stay if stream else leave
    await heard(await ask(backend, receive, stream=stream), leave)
    assert backend.health().inflight == 1
    await until(lambda: pieces() == 1)
    model.go_on.set()
    await first


async def test_a_waiting_request_can_be_cancelled(backend, model):
    first = ask(backend)
    await until(model.started.is_set)
    second = ask(backend, request_id="second")
    await until(lambda: backend.health().inflight == 2)
    backend.cancel("second")
    assert json.loads((await second).body)["cancel_reason"] == "client"
    model.go_on.set()
    await first


async def test_only_what_is_in_flight_can_be_cancelled(backend):
    with pytest.raises(ApiError) as caught:
        backend.cancel("nobody")
    assert (caught.value.status, caught.value.code) == (404, "not_found")


async def test_a_request_that_is_given_up_by_the_framework_frees_its_place(backend):
    asked = ask(backend)
    await until(lambda: backend.health().inflight == 1)
    asked.cancel()
    await until(lambda: backend.health().inflight == 0)


async def test_a_failed_generation(backend):
    error = await refusal(ask(backend, request_id="broken"))
    assert (error.status, error.code) == (500, "inference_failed")
    assert error.detail == "every attempt was rejected"
    assert backend.health().inflight == 0


async def test_a_bug_is_not_dressed_up(backend):
    with pytest.raises(ZeroDivisionError):
        await ask(backend, request_id="bug")


async def test_impossible_requests(backend):
    error = await refusal(ask(backend, score={}, request_id="mine"))
    assert (error.status, error.code, error.request_id) == (422, "invalid_request", "mine")


async def test_several_candidates_cannot_be_streamed(backend):
    request = {"tracks": [{"id": 0, "bars": [0]}], "config": {"num_candidates": 2}}
    error = await refusal(ask(backend, request=request, stream=True))
    assert (error.status, error.code, error.path) == (400, "malformed", "stream")


async def test_a_plan_is_never_streamed(backend):
    planned = await ask(backend, request=plan_only(), stream=True)
    assert planned.media_type == "application/json"


async def test_a_client_that_leaves_is_not_planned_for(backend, model):
    model.slow = True
    assert (await refusal(ask(backend, leave))).code == "client_gone"


async def test_a_server_that_stops_gives_up_planning(backend, model):
    model.slow = True
    asked = ask(backend)
    await asyncio.sleep(0.05)
    backend.jobs.close(60)
    assert (await refusal(asked)).code == "shutting_down"
    assert not backend.ready


async def test_several_models_have_one_queue_but_do_not_wait_for_each_other(model):
    other = FakeModel(info=info("other"))
    other.go_on.set()
    loaded = {"fake": model, "other": other}
    backend = Backend(deployed("fake", "other"), lambda entry: loaded[entry.id], WORKERS, books())
    await backend.start()
    first = ask(backend, request_id="first")
    await until(model.started.is_set)
    assert json.loads((await ask(backend, model="other")).body)["status"] == "completed"
    assert (await refusal(ask(backend, model="other", request_id="first"))).status == 409
    assert [listed.id for listed in backend.models().models] == ["fake", "other"]
    assert backend.info("other").checkpoint == "other.safetensors"
    assert (await refusal(ask(backend, model="third"))).detail.endswith("fake, other")
    model.go_on.set()
    await first


async def test_models_have_names(backend, model):
    model.go_on.set()
    for name in (None, "", "fake"):
        assert (await ask(backend, model=name)).status_code == 200
    error = await refusal(ask(backend, model="other"))
    assert (error.status, error.code) == (400, "unknown_model")
    assert "fake" in error.detail
    assert backend.info("fake").checkpoint == "fake.safetensors"
    assert [listed.id for listed in backend.models().models] == ["fake"]


async def test_before_the_model_is_loaded_only_health_answers(model):
    backend = Backend(deployed(), lambda _: model, WORKERS, books())
    assert not backend.ready
    assert backend.health().inflight == 0
    error = await refusal(ask(backend))
    assert (error.status, error.code) == (503, "loading")


@pytest.mark.parametrize(
    ("failure", "reason", "logged"),
    [
        (CheckpointError("x.pt:\n is damaged"), "x.pt: is damaged", False),
        (MemoryError(), "MemoryError", True),
    ],
)
async def test_a_model_that_cannot_be_loaded(failure, reason, logged, caplog):
    def load(_entry):
        raise failure

    backend = Backend(deployed(), load, WORKERS, books())
    with caplog.at_level(logging.ERROR, "midigpt"):
        await backend.start()
    assert backend.failure == reason
    assert not backend.ready
    assert ("Traceback" in caplog.text) is logged
    assert (await refusal(ask(backend))).detail == reason


@pytest.mark.parametrize(
    ("message", "path", "detail"),
    [
        ("config.top_p is 2; it must be in (0, 1]", "request.config.top_p", "request.config.top_p"),
        ("tracks[1].bars[0] (track_id=1) is 9", "request.tracks[1].bars[0]", "request.tracks[1]"),
        ("score.tracks[0].bars (track_id=0) has 2", "score.tracks[0].bars", "score.tracks[0]"),
        ("nothing is asked for", None, "nothing"),
    ],
)
def test_a_refusal_names_the_member_as_it_was_sent(message, path, detail):
    error = unfit(RequestValidationError(message))
    assert (error.status, error.path) == (422, path)
    assert error.detail.startswith(detail)
