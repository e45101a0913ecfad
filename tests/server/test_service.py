"""The whole application in one process, over a model that writes nothing."""

import asyncio
import json
import logging
import re
import signal
import threading
import time
from unittest.mock import ANY

import pytest
from anyio import open_file  # noqa: F401 - pytest would parse it in a thread: CPython 3.11 may fail
from starlette.testclient import TestClient

from midigpt.server import service
from midigpt.server.config import deployment
from midigpt.server.jobs import Lane
from midigpt.server.settings import Settings
from tests.server.fakes import BODY, FakeModel, deployed


@pytest.fixture(scope="module")
def model():
    model = FakeModel()
    model.go_on.set()
    return model


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # where metrics are collected: without it GET /metrics would wait for ever
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("metrics")))
        patch.setattr(service, "load", lambda _entry: model)
        patch.setattr(service, "deployed", deployed())
        # one process can make one such application: its metrics have global names
        with TestClient(service.service.to_asgi()) as client:
            while client.get("/readyz").status_code != 200:
                time.sleep(0.01)
            yield client


def test_health(client):
    answer = client.get("/health")
    assert answer.json() == {"status": "ok"}
    assert (answer.headers["x-inflight"], answer.headers["x-max-queue"]) == ("0", "64")
    verbose = client.get("/health", params={"verbose": "1"})
    assert verbose.json() == {"status": "ok", "inflight": 0, "max_queue": 64}


def test_info_and_models(client):
    info = client.get("/info").json()
    assert (info["model"], info["checkpoint"]) == ("fake", "fake.safetensors")
    assert client.get("/info?model=fake").json() == info
    assert client.get("/info?model=x").json()["code"] == "unknown_model"
    assert client.get("/models").json() == {
        "default_model": "fake",
        "models": [{"id": "fake", "checkpoint": "fake.safetensors"}],
    }


@pytest.mark.parametrize("path", ["/health", "/info", "/models", "/docs", "/", "/openapi.json"])
def test_pages_take_head_and_nothing_else(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    refused = client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_generate(client):
    answer = client.post("/generate", json={**BODY, "request_id": "mine", "x": 1})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
    content = answer.json()
    assert content["status"] == "completed"
    assert content["warnings"] == ["'x' is not known and was ignored"]
    assert [bar["notes"] for bar in content["score"]["tracks"][0]["bars"]] == [[]] * 4


def frames(answer):
    return [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n")[:-1]]


@pytest.mark.parametrize(
    ("path", "members"), [("/generate", {"stream": True}), ("/generate_stream", {})]
)
def test_streams(client, path, members):
    answer = client.post(path, json={**BODY, **members, "request_id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    progress, done = frames(answer)
    assert (progress["type"], done["type"]) == ("progress", "done")
    assert done["response"]["status"] == "completed"


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_what_is_wrong_with_a_stream_is_told_before_it_begins(client, path):
    answer = client.post(path, json={**BODY, "stream": True, "score": {}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_stream_that_fails(client):
    answer = client.post("/generate", json={**BODY, "stream": True, "request_id": "broken"})
    assert answer.status_code == 200
    assert frames(answer)[-1] == {
        "type": "error",
        "request_id": "broken",
        "error": "every attempt was rejected",
        "detail": "every attempt was rejected",
        "code": "inference_failed",
        "status": 500,
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "malformed"),
        ({**BODY, "score": {}}, 422, "invalid_request"),
        ({**BODY, "model": "x"}, 400, "unknown_model"),
        ({**BODY, "request_id": "broken"}, 500, "inference_failed"),
        ({**BODY, "request_id": "bug"}, 500, "internal"),
    ],
)
def test_errors_have_one_form(client, body, status, code):
    answer = client.post("/generate", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert isinstance(answer.json()["detail"], str)
    assert answer.json().get("request_id") == body.get("request_id", ANY)


def test_cancel_knows_who_is_in_flight(client, model):
    assert client.post("/generate/x/cancel").json()["code"] == "not_found"
    model.go_on.clear()
    queue = current().jobs
    job = queue.submit(Lane(), "mine", lambda job: job.stop.wait(5))
    answer = client.post("/generate/mine/cancel", content=b"{not json")
    assert answer.json() == {"request_id": "mine", "status": "cancelling"}
    assert job.answer.result(5) is True
    model.go_on.set()


def current():
    return service.bentoml.get_current_service().backend


def test_the_apis_of_generated_clients(client):
    assert client.post("/api/health", json={}).json() == {"status": "ok"}
    assert client.post("/api/info", json={}).json() == client.get("/info").json()
    assert client.post("/api/info", json={"model": "x"}).json()["code"] == "unknown_model"
    assert client.post("/api/info", json={"model": 5}).json()["code"] == "malformed"
    assert client.post("/api/models", json={}).json() == client.get("/models").json()
    gone = client.post("/api/cancel", json={"request_id": "gone"})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    routes = {
        route["name"]: route["route"] for route in client.get("/schema.json").json()["routes"]
    }
    assert routes == {
        "generate": "/generate",
        "generate_stream": "/generate_stream",
        "health": "/api/health",
        "info": "/api/info",
        "models": "/api/models",
        "cancel": "/api/cancel",
    }


def test_the_page_asks_nobody_else_for_anything(client):
    page = client.get("/docs").text
    assert client.get("/").text == page
    sources = re.findall(r'(?:src|href|url)[=:] ?"([^"]*)"', page)
    for source in sources:
        assert not source.startswith(("http", "//"))
        assert source == "data:," or client.get(f"/{source}").status_code == 200
    assert len(sources) == 4


def test_probes(client):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    backend = current()
    backend.failure = "it is broken"
    assert client.get("/livez").json()["code"] == "unavailable"
    backend.failure = None


def test_metrics(client):
    client.get("/info")
    assert 'endpoint="/info"' in client.get("/metrics").text


def test_nothing_is_reported_to_anybody():
    assert service.os.environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_the_supervisor_refuses_to_start_without_a_checkpoint(monkeypatch, tmp_path):
    settings = Settings(ckpt=str(tmp_path / "none.pt"))
    monkeypatch.setattr(service, "deployed", deployment(settings))
    with pytest.raises(SystemExit, match=r"none\.pt: no such file"):
        service.MidiGPT.inner.check()


@pytest.mark.anyio
async def test_a_worker_that_cannot_load_gives_up(monkeypatch, caplog):
    def fail(_entry):
        raise OSError("disk on fire")

    reasons = []
    monkeypatch.setattr(service, "load", fail)
    monkeypatch.setattr(service, "give_up", reasons.append)
    with caplog.at_level(logging.ERROR, "midigpt"):
        await service.MidiGPT.inner()._live()
    assert reasons == ["disk on fire"]
    assert "disk on fire" in caplog.text


@pytest.mark.anyio
async def test_a_worker_that_is_ready_says_where(monkeypatch, model, caplog):
    monkeypatch.setattr(service, "load", lambda _entry: model)
    monkeypatch.setattr(service, "settings", Settings(address="http://[::1]:80"))
    monkeypatch.setattr(service, "deployed", deployed(warnings=("x means nothing",)))
    with caplog.at_level(logging.INFO, "midigpt"):
        await service.MidiGPT.inner()._live()
    assert caplog.messages == ["x means nothing", "listening on http://[::1]:80"]


@pytest.mark.anyio
async def test_a_worker_that_nobody_needs_ends(monkeypatch, model):
    ended = []
    monkeypatch.setattr(service, "load", lambda _entry: model)
    monkeypatch.setattr(service, "deployed", deployed(idle_timeout=0.05))
    monkeypatch.setattr(service, "end_server", lambda: ended.append(True))
    await service.MidiGPT.inner()._live()
    assert ended


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def handlers(monkeypatch):
    """What the framework's signal handlers hear; how the process would exit."""
    heard, exits = [], []
    before = [signal.signal(number, lambda n, _: heard.append(n)) for number in STOPS]
    monkeypatch.setattr(service.os, "_exit", exits.append)
    monkeypatch.setattr(service, "LAST_WORDS_S", 60)
    yield heard, exits
    for number, handler in zip(STOPS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.anyio
async def test_a_signal_is_passed_on_when_everybody_has_an_answer(handlers, monkeypatch):
    monkeypatch.setattr(service, "supervised", lambda: True)
    heard, exits = handlers
    instance = service.MidiGPT.inner()
    jobs, go_on = instance.backend.jobs, threading.Event()
    instance._stop_on_signals(asyncio.get_running_loop())
    jobs.submit(Lane(), "running", lambda _: go_on.wait(10))
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert (jobs.closed, heard) == (True, [])
    signal.raise_signal(signal.SIGTERM)  # the supervisor passes it on
    go_on.set()
    await asyncio.sleep(0.2)
    assert (heard, exits) == ([signal.SIGTERM], [])


@pytest.mark.anyio
@pytest.mark.parametrize(("above", "echo"), [(True, 0.05), (False, 60)])
async def test_the_second_signal_ends_the_process(handlers, monkeypatch, above, echo):
    monkeypatch.setattr(service, "ECHO_S", echo)
    monkeypatch.setattr(service, "supervised", lambda: above)
    instance, go_on = service.MidiGPT.inner(), threading.Event()
    instance._stop_on_signals(asyncio.get_running_loop())
    instance.backend.jobs.submit(Lane(), "running", lambda _: go_on.wait(10))
    signal.raise_signal(signal.SIGINT)
    await asyncio.sleep(0.1)
    signal.raise_signal(signal.SIGINT)
    go_on.set()
    assert handlers == ([], [128 + signal.SIGINT])


STOPS = (signal.SIGINT, signal.SIGTERM)
