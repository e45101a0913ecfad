"""The whole application in one process, over a model that writes nothing."""

import logging
import re
import signal
import time
from unittest.mock import ANY

import pytest
from anyio import open_file  # noqa: F401 - pytest would parse it in a thread: CPython 3.11 may fail
from starlette.testclient import TestClient

from midigpt.server import service
from midigpt.server.settings import Settings
from tests.server.fakes import BODY, FakeModel


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
        patch.setattr(service, "load", lambda: model)
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
    job = queue.submit("mine", lambda job: job.stop.wait(5))
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
    routes = {
        route["name"]: route["route"] for route in client.get("/schema.json").json()["routes"]
    }
    assert routes == {"generate": "/generate", "health": "/api/health", "info": "/api/info"}


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
    monkeypatch.setattr(service, "settings", Settings(ckpt=str(tmp_path / "none.pt")))
    with pytest.raises(SystemExit, match=r"none\.pt: no such file"):
        service.MidiGPT.inner.check()


@pytest.mark.anyio
async def test_a_worker_that_cannot_load_gives_up(monkeypatch, caplog):
    def fail():
        raise OSError("disk on fire")

    reasons = []
    monkeypatch.setattr(service, "load", fail)
    monkeypatch.setattr(service, "give_up", reasons.append)
    with caplog.at_level(logging.ERROR, "midigpt"):
        await service.MidiGPT.inner()._load()
    assert reasons == ["disk on fire"]
    assert "disk on fire" in caplog.text


@pytest.mark.anyio
async def test_a_worker_that_is_ready_says_where(monkeypatch, model, caplog):
    monkeypatch.setattr(service, "load", lambda: model)
    monkeypatch.setattr(service, "settings", Settings(address="http://[::1]:80"))
    with caplog.at_level(logging.INFO, "midigpt"):
        await service.MidiGPT.inner()._load()
    assert caplog.messages == ["listening on http://[::1]:80"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_a_signal_closes_the_queue_and_is_passed_on(monkeypatch):
    instance, heard, closed = service.MidiGPT.inner(), [], []
    monkeypatch.setattr(instance.backend.jobs, "close", closed.append)
    before = [signal.signal(number, lambda n, _: heard.append(n)) for number in STOPS]
    try:
        instance._stop_on_signals()
        signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            signal.signal(number, handler)
    assert (heard, closed) == ([signal.SIGTERM], [service.GRACE_S])


STOPS = (signal.SIGINT, signal.SIGTERM)
